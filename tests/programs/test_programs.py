"""Programs over a trainer that keeps its policy as a number: each step adds one."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from jumar import algorithms, programs
from jumar.engines.contract import Fit, ReferenceRewards, Stage, Trainer
from jumar.errors import ConfigurationError


@dataclass
class CountingTrainer:
    """Its policy is a count of steps; the best of a stage is the policy halfway through it.

    A fit is a count as well: its start's, and a step more for each of its own.
    """

    directory: Path
    policy: int = 0
    calls: list[tuple[int, int | None]] = field(default_factory=list)  # steps, reference's policy
    said: list[str] = field(default_factory=list)  # the verbs on fixed batches, as they are called
    trained: dict[str, Any] = field(default_factory=dict)  # what else the last `train` was given
    sampled: int = 0  # the policy of the newest fixed batch

    def train(
        self,
        *,
        steps: int,
        algorithm: Mapping[str, Any] | None = None,
        reference: Path | None = None,
        teacher: Path | None = None,
        values: Mapping[str, Mapping[int, float]] | None = None,
        without: Collection[int] = (),
    ) -> Stage:
        assert teacher in (None, reference)  # what the ratchet swaps, it swaps for both
        self.calls.append((steps, None if reference is None else int(reference.read_text())))
        self.trained = {"algorithm": algorithm, "values": values, "without": without}
        first, self.policy = self.policy, self.policy + steps
        return self._stage(first, first + steps // 2)

    def reference_rewards(self, *, samples: int, seed: int = 0) -> ReferenceRewards:
        """Prompt 1 is never solved, prompt 2 in half of the responses, prompt 3 always."""
        rewards = {1: [0.0] * samples, 2: [1.0, 0.0] * (samples // 2), 3: [1.0] * samples}
        correct = {prompt: [r == 1.0 for r in row] for prompt, row in rewards.items()}
        self.said.append(f"reference {samples} {seed}")
        return ReferenceRewards(rewards=rewards, correct=correct)

    def sample(self, *, prompts: int, responses: int) -> Path:
        self.said.append(f"sample {prompts} x {responses} of {self.policy}")
        self.sampled = self.policy
        return self.directory / f"batch-{self.policy}"

    def fit(
        self,
        rollout: Path,
        *,
        steps: int,
        prompts: int,
        algorithm: Mapping[str, Any] | None = None,
        start: Path | None = None,
        reference: Path | None = None,
        signal: Path | None = None,
        learning_rate: float | None = None,
        snapshots: Collection[int] = (),
    ) -> Fit:
        assert rollout == self.directory / f"batch-{self.sampled}"
        first = self.policy if start is None else int(start.read_text())
        settings = dict(algorithm or {"name": "own"})
        algorithms.get(**settings) if algorithm else None  # its settings are known ones
        self.said.append(
            f"fit {settings['name']} {first}+{steps}"
            + (f" from {reference.name}" if reference else "")
            + (f" to {signal.read_text()}" if signal else "")
            + (f" at {learning_rate:g}" if learning_rate else "")
        )
        saved = {at: self._saved(first + at) for at in snapshots}
        return Fit(steps=steps, last=self._saved(first + steps), snapshots=saved)

    def log_ratio(
        self, rollout: Path, *, numerator: Path | None = None, denominator: Path | None = None
    ) -> Path:
        sides = (path.read_text() if path else self.sampled for path in (numerator, denominator))
        path = self.directory / f"signal-{len(self.said)}"
        path.write_text("/".join(map(str, sides)))
        return path

    def adopt(self, model: Path, *, steps: int) -> Stage:
        self.said.append(f"adopt {model.name} for {steps}")
        first, self.policy = self.policy, int(model.read_text())
        return self._stage(first, self.policy)

    def _stage(self, first: int, best: int) -> Stage:
        return Stage(
            first_step=first,
            last_step=self.policy,
            last=self._saved(self.policy),
            best=self._saved(best),
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


def test_cgpo_hands_the_references_mean_reward_of_every_prompt_to_training(
    trainer: CountingTrainer,
) -> None:
    programs.get("cgpo")(trainer, steps=7, samples=4, baseline_seed=3)
    assert trainer.said == ["reference 4 3"]
    assert trainer.trained["values"] == {"baseline_rewards": {1: 0.0, 2: 0.5, 3: 1.0}}
    assert trainer.calls == [(7, None)]


def test_a_star_po_hands_v_star_of_every_prompt_to_training(trainer: CountingTrainer) -> None:
    programs.get("a_star_po")(trainer, steps=5, samples=4, value_seed=7)
    assert trainer.said == ["reference 4 7"]
    assert trainer.calls == [(5, None)]
    values = trainer.trained["values"]["optimal_values"]
    # 0.5 log(1 + 0.5 (e^2 - 1)) = 0.716890
    assert values == {1: 0.0, 2: pytest.approx(0.716890, abs=1e-6), 3: 1.0}
    assert list(trainer.trained["without"]) == []


@pytest.mark.parametrize(("beta", "half"), [(0, 1.0), ("mean", 0.5)])
def test_a_star_po_can_take_either_limit_and_leave_out_what_was_never_solved(
    beta: Any, half: float, trainer: CountingTrainer
) -> None:
    programs.get("a_star_po")(trainer, beta_value=beta, drop_unsolved=True)
    assert trainer.trained["values"]["optimal_values"] == {1: 0.0, 2: half, 3: 1.0}
    assert list(trainer.trained["without"]) == [1]


SHORT = {"batches": 2, "prompts": 9, "responses": 4, "teacher_steps": 70, "student_steps": 10}
ERPD = {
    "strong": (
        {},
        [
            "sample 9 x 4 of 0",
            "fit own 0+70",
            "fit erpd_student 0+10 to 70/0",
            "adopt policy-10 for 10",
            "sample 9 x 4 of 10",
            "fit own 10+70",
            "fit erpd_student 10+10 to 80/10",
            "adopt policy-20 for 10",
        ],
    ),
    "away": (
        {"learning_rate": 0.5},
        [
            "sample 9 x 4 of 0",
            "fit own 0+70 at 0.5",
            "fit erpd_student 0+10 to 70/0 at 0.5",
            "adopt policy-10 for 10",
            "sample 9 x 4 of 10",
            "fit own 10+70 at 0.5",
            "fit erpd_student 10+10 to 80/10 at 0.5",
            "adopt policy-20 for 10",
            "sample 9 x 4 of 20",
            "fit own 20+70 at 0.5",
            "fit erpd_student 20+10 to 90/10 at 0.5",  # still the student of the first batch
            "adopt policy-30 for 10",
        ],
    ),
    "weak": (
        {"unlearn_steps": 30, "batches": 1},
        [
            "sample 9 x 4 of 0",
            "fit token_mse 0+70",
            "fit erpd_student 0+10 to 70/30",
            "adopt policy-10 for 10",
        ],
    ),
    "ensemble": (
        {"recover": "implicit_ce", "unlearn_learning_rate": 0.25, "batches": 1},
        [
            "sample 9 x 4 of 0",
            "fit own 0+70",
            "fit token_mse 0+10 at 0.25",
            "fit implicit_ce 10+70 from policy-10",
            "fit erpd_student 0+10 to 70/0",
            "fit erpd_student 10+10 to 80/10",  # from the student of the strong signal
            "adopt policy-20 for 20",
        ],
    ),
    "none": (
        {"online_steps": 3},
        [
            "sample 9 x 4 of 0",
            "fit own 0+70",
            "adopt policy-70 for 70",
            "sample 9 x 4 of 73",
            "fit own 73+70",
            "adopt policy-143 for 70",
        ],
    ),
}


@pytest.mark.parametrize("strategy", ERPD)
def test_what_erpd_does_under_each_strategy(strategy: str, trainer: CountingTrainer) -> None:
    settings, said = ERPD[strategy]
    batches = 3 if strategy == "away" else 2
    options = {**SHORT, "batches": batches, "strategy": strategy, **settings}
    programs.get("erpd")(trainer, **options)
    assert trainer.said == said
    assert trainer.policy == programs.total_steps("erpd", options)


def test_between_batches_erpd_can_train_online_without_a_reference(
    trainer: CountingTrainer,
) -> None:
    programs.get("erpd")(trainer, **SHORT, online_steps=3)
    assert trainer.calls == [(3, None), (3, None)]
    assert "ref_logprobs" not in algorithms.get(**trainer.trained["algorithm"]).reads


@pytest.mark.parametrize("recover", ["token_mse", "implicit_ce", "sft"])
def test_whatever_leads_back_is_an_algorithm_with_known_settings(
    recover: str, trainer: CountingTrainer
) -> None:
    programs.get("erpd")(trainer, **SHORT, strategy="weak", recover=recover)
    assert f"fit {recover} 10+70 from policy-10" in trainer.said


@pytest.mark.parametrize(
    ("name", "settings", "words"),
    [
        ("a_star_po", {"samples": 0}, "samples=0"),
        ("a_star_po", {"beta_value": -1.0}, "beta_value` is -1"),
        ("erpd", {"prompts": 0}, "prompts=0"),
        ("erpd", {"responses": -2}, "responses=-2"),
        ("erpd", {"prompts_per_step": 0}, "prompts=0"),
        ("erpd", {"student_steps": 0}, "steps=0"),
        ("erpd", {"learning_rate": 0.0}, "learning_rate=0"),
        ("erpd", {"strategy": "weak", "unlearn_steps": 70}, "before the end of the teacher's 70"),
        ("erpd", {"strategy": "ensemble", "unlearn_steps": 99}, "unlearn_steps` is 99"),
    ],
)
def test_settings_with_which_a_later_verb_would_fail_are_refused_in_the_rehearsal(
    name: str, settings: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigurationError, match=words):
        programs.total_steps(name, settings)


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
    assert card.title.lower().translate(str.maketrans({"*": "_star_", "-": None})) == name
    assert card.idea.endswith(".")
    assert card.text
    assert programs.total_steps(name, {}) > 0
    assert any(setting.endswith("steps") for setting in card.settings)


def test_a_programs_columns_are_known_without_running_it() -> None:
    made = {name: programs.made(name) for name in programs.names()}
    assert made.pop("a_star_po") == {"optimal_values"}
    assert made.pop("cgpo") == {"baseline_rewards"}
    assert not any(made.values())  # erpd hands its signal to a fit, not to the run's algorithm


def test_steps_are_counted_in_a_rehearsal() -> None:
    assert programs.total_steps("ratchet", {"stages": 5, "steps": 3}) == 15
    assert programs.total_steps("plain", {"steps": 2}) == 2
    assert programs.total_steps("a_star_po", {"steps": 2}) == 2
    # fits of teachers are not steps of the policy: it makes those of its students, and online ones
    assert programs.total_steps("erpd", {"batches": 4, "student_steps": 5}) == 20
    assert programs.total_steps("erpd", {"batches": 4, "online_steps": 7}) == 4 * (10 + 7)
    assert programs.total_steps("erpd", {"batches": 1, "strategy": "ensemble"}) == 20
    assert programs.total_steps("erpd", {"batches": 1, "strategy": "none"}) == 70


def test_an_unknown_program_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(ConfigurationError, match=r"no program `rachet`.*Did you mean ratchet"):
        programs.get("rachet")
