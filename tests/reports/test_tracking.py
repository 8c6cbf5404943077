"""What trackers are told and when, without their packages; `tests/trackers` has the real ones."""

import json
import sys
import tomllib
from pathlib import Path
from typing import ClassVar, get_args

import pytest

from jumar import Run
from jumar.config import RunConfig, changed_settings, dump, parse
from jumar.config.yaml_text import read
from jumar.engines.contract import Estimate
from jumar.errors import ConfigurationError
from jumar.reports.trackers import TRACKERS, TrackedRun
from jumar.reports.tracking import Tracking

SMALLEST = {"task": "gym:chain_sum", "algorithm": "owpo"}


class Listed:
    """A tracker that keeps a list, and breaks when it is asked to."""

    runs: ClassVar[dict[str, list]]
    broken: ClassVar[bool]

    def __init__(self, run: TrackedRun) -> None:
        self.known_as = run.known_as or f"{run.name}-{len(self.runs)}"
        self.rows = self.runs.setdefault(self.known_as, [])

    def log(self, step: int, numbers: dict[str, float]) -> None:
        if self.broken:
            raise OSError("no space left\non the device")
        self.rows.append((step, dict(numbers)))

    def close(self, *, finished: bool) -> None:
        self.rows.append("finished" if finished else "stopped")


class Person:
    def __init__(self) -> None:
        self.told: list[str] = []

    def on_phase(self, text: str) -> None:
        self.told.append(text)

    def on_step(self, step: int, total: int | None, metrics: dict[str, float]) -> None:
        self.told.append(f"step {step}")

    def on_validation(self, step: int, estimates: dict[str, Estimate]) -> None:
        self.told.append(f"validation {step}")


@pytest.fixture
def listed(monkeypatch):
    """The class above under the name `listed`, empty."""
    monkeypatch.setitem(TRACKERS, "listed", Listed)
    Listed.runs, Listed.broken = {}, False
    return Listed


def step(tracking: Tracking, directory: Path, number: int) -> None:
    with (directory / "metrics.jsonl").open("a") as file:
        file.write(json.dumps({"step": number, "reward": number / 2, "digest": None}) + "\n")
    tracking.on_step(number, None, {})


def begun(directory: Path, person: Person) -> Tracking:
    tracking = Tracking(person, directory, ["listed"])
    tracking.begin(project="letters", name="mine", config={})
    return tracking


def test_whoever_else_watches_is_told_everything(listed, tmp_path):
    person = Person()
    with begun(tmp_path, person) as tracking:
        tracking.on_phase("Evaluating.")
        step(tracking, tmp_path, 1)
        tracking.on_validation(1, {})
    assert person.told == ["Evaluating.", "step 1", "validation 1"]
    assert listed.runs == {"mine-0": [(1, {"reward": 0.5}), "finished"]}


def test_the_steps_of_a_fit_are_not_those_of_the_run(listed, tmp_path):
    with begun(tmp_path, Person()) as tracking:
        tracking.on_step(1, 9, {"loss": 1.0})  # a fit's, before any step of the run
        step(tracking, tmp_path, 1)
        tracking.on_step(2, 9, {"loss": 1.0})
    assert listed.runs["mine-0"] == [(1, {"reward": 0.5}), "finished"]


def test_a_failure_is_told_once_and_what_was_missed_is_sent_later(listed, tmp_path):
    person = Person()
    with begun(tmp_path, person) as tracking:
        step(tracking, tmp_path, 1)
        listed.broken = True
        step(tracking, tmp_path, 2)
        listed.broken = False
        step(tracking, tmp_path, 3)
    (told,) = [text for text in person.told if "tracker" in text]
    assert told == (
        "The tracker listed is off from here (OSError: no space left on the device). The run goes "
        "on; its numbers are in metrics.jsonl, and a resume sends what the tracker lacks."
    )
    with begun(tmp_path, person) as tracking:
        step(tracking, tmp_path, 4)
    sent = [(number, {"reward": number / 2}) for number in (1, 2, 3, 4)]
    assert listed.runs == {"mine-0": [*sent, "finished"]}


def test_a_run_that_breaks_off_is_not_called_finished(listed, tmp_path):
    with pytest.raises(KeyboardInterrupt), begun(tmp_path, Person()):
        raise KeyboardInterrupt
    assert listed.runs == {"mine-0": ["stopped"]}


# ------------------------------------------------------------------ what a recipe says


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ("none", ()),
        ("wandb", ("wandb",)),
        (["tensorboard", "mlflow"], ("tensorboard", "mlflow")),
    ],
)
def test_a_recipe_names_none_one_or_several_and_is_written_as_it_was(given, names):
    config = parse({**SMALLEST, "tracker": given})
    assert config.tracker == names
    written = read(dump(config), source="")
    assert written["tracker"] == given
    assert parse(written) == config


def test_no_tracker_is_the_default():
    assert parse(SMALLEST).tracker == ()


@pytest.mark.parametrize("given", ["wandbb", ["wandb", "none"]])
def test_an_unknown_tracker_is_refused_with_those_that_there_are(given):
    with pytest.raises(ConfigurationError, match="'tensorboard', 'wandb', 'trackio' or 'mlflow'"):
        parse({**SMALLEST, "tracker": given})


def test_recipe_code_and_extras_have_the_same_names():
    names = get_args(get_args(RunConfig.model_fields["tracker"].annotation)[0])
    assert names == tuple(TRACKERS)
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    assert set(names) <= project["optional-dependencies"].keys()


def test_a_resumed_run_may_have_other_trackers_and_nothing_else():
    text = dump(parse(SMALLEST))
    same = parse({**SMALLEST, "tracker": "mlflow", "tracking": {"name": "x"}})
    assert changed_settings(text, same) == []
    assert changed_settings(text, parse({**SMALLEST, "seed": 1})) == ["seed"]


def test_a_missing_package_is_refused_with_its_command_before_anything_is_loaded(
    tmp_path, monkeypatch
):
    monkeypatch.setitem(sys.modules, "wandb", None)  # what Python does where nothing is installed
    run = Run(model="none", tracker="wandb", out=tmp_path / "run", **SMALLEST)
    with pytest.raises(ConfigurationError, match=r"pip install 'jumar\[wandb\]'"):
        run.train()
    assert not (tmp_path / "run").exists()
