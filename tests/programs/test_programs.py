"""Programs over a trainer that keeps its policy as a number: each step adds one."""

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from jumar import programs
from jumar.engines.contract import Stage, Trainer
from jumar.errors import ConfigurationError


@dataclass
class CountingTrainer:
    """Its policy is a count of steps; the best of a stage is the policy halfway through it."""

    directory: Path
    policy: int = 0
    calls: list[tuple[int, int | None]] = field(default_factory=list)  # steps, reference's policy

    def train(self, *, steps: int, reference: Path | None = None) -> Stage:
        self.calls.append((steps, None if reference is None else int(reference.read_text())))
        first, self.policy = self.policy, self.policy + steps
        return Stage(
            first_step=first,
            last_step=self.policy,
            last=self._saved(self.policy),
            best=self._saved(first + steps // 2),
            last_score=0.5,
            best_score=0.6,
        )

    def _saved(self, policy: int) -> Path:
        path = self.directory / f"policy-{policy}"
        path.write_text(str(policy))
        return path


@pytest.fixture
def trainer(tmp_path: Path) -> CountingTrainer:
    return CountingTrainer(tmp_path)


def test_plain_is_one_stage_against_the_runs_own_reference(trainer: CountingTrainer) -> None:
    programs.get("plain")(trainer, steps=7)
    assert trainer.calls == [(7, None)]


def test_the_ratchet_swaps_to_where_the_policy_is_at_each_stages_end(
    trainer: CountingTrainer,
) -> None:
    programs.get("ratchet")(trainer, stages=3, steps=10)
    assert trainer.calls == [(10, None), (10, 10), (10, 20)]


def test_the_ratchet_can_swap_to_the_best_of_the_stage(trainer: CountingTrainer) -> None:
    programs.get("ratchet")(trainer, stages=3, steps=10, swap="best")
    assert trainer.calls == [(10, None), (10, 5), (10, 15)]
    assert trainer.policy == 30  # the policy itself never goes back


def test_the_ratchet_makes_the_same_calls_when_it_is_run_again(tmp_path: Path) -> None:
    first, second = CountingTrainer(tmp_path), CountingTrainer(tmp_path)
    for trainer in (first, second):
        programs.get("ratchet")(trainer, stages=4, steps=3, swap="best")
    assert first.calls == second.calls


@pytest.mark.parametrize("name", programs.names())
def test_every_program_runs_with_its_defaults_for_the_steps_that_it_announces(
    name: str, trainer: CountingTrainer
) -> None:
    as_trainer: Trainer = trainer
    programs.get(name)(as_trainer)
    assert trainer.policy == programs.total_steps(name, {})


@pytest.mark.parametrize("name", programs.names())
def test_every_card_names_its_program_and_tells_the_settings(name: str) -> None:
    card = programs.card(name)
    assert card.title.lower() == name
    assert card.idea.endswith(".")
    assert card.text
    assert "steps" in card.settings


def test_steps_are_counted_in_a_rehearsal() -> None:
    assert programs.total_steps("ratchet", {"stages": 5, "steps": 3}) == 15
    assert programs.total_steps("plain", {"steps": 2}) == 2


def test_an_unknown_program_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(ConfigurationError, match=r"no program `rachet`.*Did you mean ratchet"):
        programs.get("rachet")
