"""Small runs of every program and every algorithm, to be killed: letters, in forked processes."""

import os
import sys
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent / "engines" / "local"))
import letters

from jumar import algorithms, programs
from jumar.engines.local.provision import PROVIDED_HERE, needs
from jumar.engines.local.trainer import LocalTrainer
from jumar.verifiers.build import build
from jumar.verifiers.score import Score

from .children import Ended, in_child
from .faults import Faults

Program = Callable[[LocalTrainer], Any]
RECORDS = {name: algorithms.get(name) for name in algorithms.names()}
FIT = {"batches": 1, "prompts": 3, "responses": 3, "prompts_per_step": 2, "teacher_steps": 3,
       "student_steps": 2, "unlearn_steps": 2}  # fmt: skip
# by a name of ours: the program, the run's algorithm, the program's settings
PROGRAMS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "plain": ("plain", "dapo", {"steps": 3}),
    "plain with a critic": ("plain", "ppo", {"steps": 3}),
    "ratchet": ("ratchet", "owpo", {"stages": 2, "steps": 2, "swap": "best"}),
    "cgpo": ("cgpo", "cgpo_crpg", {"steps": 2, "samples": 2}),
    "a_star_po": ("a_star_po", "a_star_po", {"steps": 2, "samples": 2}),
    "erpd strong": ("erpd", "implicit_ce", {**FIT, "online_steps": 1}),
    "erpd weak": ("erpd", "token_mse", {**FIT, "strategy": "weak", "recover": "token_mse"}),
}
SETTINGS = {
    "rollout": {"prompts": 3, "responses": 3, "max_response_tokens": 6, "max_refills": 1,
                "only_prompts": 6},
    "checkpoints": {"every": 1, "keep_last": 2},
    "evaluation": {"every": 2},
}  # fmt: skip


class Here:
    """Scores in this process: a forked one has none of its parent's threads."""

    def __init__(self) -> None:
        self.verifier = letters.task().verifier
        self._scorer = build(self.verifier)

    def score(self, responses: Any, examples: Any) -> list[Score]:
        return [self._scorer(r, e) for r, e in zip(responses, examples, strict=True)]

    def begin(self, responses: Any, examples: Any) -> list[Future[Score]]:
        futures: list[Future[Score]] = [Future() for _ in responses]
        for future, score in zip(futures, self.score(responses, examples), strict=True):
            future.set_result(score)
        return futures

    def statistics(self) -> dict[str, float]:
        return {"seconds_p50": 0.0, "seconds_p99": 0.0}


@dataclass(frozen=True)
class Whole:
    """A run that nothing happened to."""

    left: dict[str, Any]  # what there is at its end
    operations: int  # on files
    published: list[tuple[int, str]]  # the operations after which there was a checkpoint more

    def newest(self, strike: int) -> str | None:
        """The last checkpoint of those that were there before an operation."""
        there = [name for count, name in self.published if count < strike and name[0] != "."]
        return there[-1] if there else None


class Run:
    """One run that can be begun in many directories, and ends in the same bits in all of them."""

    def __init__(
        self, place: Path, algorithm: str, program: Program, made: Any = (), seed: int = 0
    ) -> None:
        """`place` holds a directory `model` and one `teacher`, both of letters."""
        self.place, self.algorithm, self.program = place, algorithm, program
        self.made, self.seed = made, seed

    @classmethod
    def of_program(cls, place: Path, name: str, seed: int = 0) -> "Run":
        program, algorithm, settings = PROGRAMS[name]
        return cls(
            place, algorithm, lambda run: programs.get(program)(run, **settings),
            programs.made(program), seed,
        )  # fmt: skip

    @classmethod
    def of_algorithm(cls, place: Path, name: str, steps: int) -> "Run":
        return cls(place, name, lambda run: run.train(steps=steps))

    def go(self, home: Path) -> dict[str, Any]:
        """Begin or go on in `home`; everything that is left there."""
        os.environ["JUMAR_CACHE"] = str(home / "cache")
        home.mkdir(exist_ok=True)
        record = RECORDS[self.algorithm]
        rollout = {**SETTINGS["rollout"]}
        if record.rows == "stored":
            rollout |= {"source": "dataset"}
        run = letters.trainer(
            home / "run", self.place / "model", Here(), algorithm=self.algorithm,
            teacher=str(self.place / "teacher") if needs(record, "teacher") else None,
            made=self.made, **{**SETTINGS, "rollout": rollout, "seed": self.seed},
        )  # fmt: skip
        run.restore()
        self.program(run)
        return letters.left_by(home / "run")

    def struck(self, home: Path, strike: int, how: str | int) -> Ended:
        """The same with a fault at one file operation."""

        def work() -> dict[str, Any]:
            faults = Faults(home, strike, how)
            left = self.go(home)
            return {"left": left, "operations": faults.count, "published": faults.published}

        home.mkdir(exist_ok=True)
        return in_child(work)

    def undisturbed(self, home: Path) -> "Whole":
        """One that nothing happens to."""
        return Whole(**self.struck(home, 0, "kill").result())

    def resumed(self, home: Path) -> Ended:
        """After a fault: go on to the end."""
        return in_child(lambda: self.go(home))


def prepared(place: Path) -> Path:
    """With the models that runs need."""
    letters.write_model(place / "model")
    letters.write_model(place / "teacher", seed=1)
    return place


def trained_alone() -> list[str]:
    """The algorithms that a plain run can train."""
    return sorted(n for n, record in RECORDS.items() if not record.reads - PROVIDED_HERE)
