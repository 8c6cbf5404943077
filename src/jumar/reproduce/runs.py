"""What of a study is still to be run, and running it: one process per run, resumable."""

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import perf_counter
from typing import Any

from jumar.config.sources import merged
from jumar.errors import EngineError
from jumar.reproduce.study import Arm, Records, Study

TUNING_SEED, FOUNDATION_SEED = 1000, 500  # no run that is reported has them
Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A run to be made, or made already."""

    arm: str
    seed: int
    recipe: Mapping[str, Any]
    config: str
    score: bool = True
    also: Mapping[str, str] = field(default_factory=dict)
    along: str = ""

    @property
    def name(self) -> str:
        """Of its record."""
        return f"{self.arm}-seed{self.seed}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Runner:
    """Runs a study: `store` keeps the records, `work` the run directories."""

    study: Study
    store: Path
    work: Path
    jobs: int
    tell: Tell

    def run(self) -> None:
        """The base, tuning and foundations, every arm, and alone the timed ones."""
        self._all([self._base()])
        self._all(self._tuning(on_foundations=False))
        # their records may come from elsewhere, but the runs on them need their models
        there = [job for job in self._foundations() if self._done(job)]
        lost = [job for job in there if not (self._directory(job) / "final").is_dir()]
        self._all(self._foundations(), again=lost if self.missing() else ())
        self._all(self._tuning(on_foundations=True))
        arms = self.planned()
        self._all([job for job in arms if job.score])
        timed = [job for job in arms if not job.score]
        self._all(sorted(timed, key=lambda job: job.seed), jobs=1)

    def missing(self) -> int:
        """How many runs there are still to make, at most."""
        first = [self._base(), *self._tuning(on_foundations=False)]
        left = sum(not self._done(job) for job in first)
        if left == 0:
            first = [*self._foundations(), *self._tuning(on_foundations=True)]
            left = sum(not self._done(job) for job in first)
        if left:
            return left + sum(arm.seeds for arm in self.study.arms)
        return sum(not self._done(job) for job in self.planned())

    def tuned(self) -> bool:
        """Whether all that the arms' own recipes wait for is there."""
        first = [self._base(), *self._tuning(on_foundations=False)]
        if not all(map(self._done, first)):
            return False
        return all(map(self._done, [*self._foundations(), *self._tuning(on_foundations=True)]))

    def records(self) -> Records:
        """Those of the study's own runs, and of no others that lie beside them."""
        jobs = [
            self._base(), *self._tuning(on_foundations=False), *self._foundations(),
            *self._tuning(on_foundations=True), *self.planned(),
        ]  # fmt: skip
        found: dict[str, dict[int, Any]] = {}
        for job in jobs:
            if self._done(job):
                record = json.loads(self._record(job.name).read_text())
                found.setdefault(job.arm, {})[job.seed] = record
        return Records(found)

    # ------------------------------------------------------------------ the jobs

    def _job(self, arm: str, seed: int, recipe: Mapping[str, Any], *, score: bool = True) -> Job:
        more = [self._foundation(name).config for name in foundations_of(recipe)]
        config = self.study.config(recipe, *more)
        return Job(arm=arm, seed=seed, recipe=recipe, config=config, score=score)

    def _base(self) -> Job:
        recipe = self.study.arms[0].recipe
        config = self.study.config({"model": recipe["model"]}, self.study.memory)
        return Job(arm="base", seed=0, recipe=recipe, config=config)

    def _foundations(self) -> list[Job]:
        return [self._foundation(arm.name) for arm in self.study.foundations]

    def _foundation(self, name: str) -> Job:
        arm = self.study.arm(name)
        return self._job(name, FOUNDATION_SEED, self._recipe(arm))

    def _tuning(self, *, on_foundations: bool) -> list[Job]:
        """The methods whose recipes name a foundation, or the others."""
        return [
            self._job(
                f"tuning-{arm}-{number}", TUNING_SEED,
                merged(self.study.arm(arm).recipe, settings), score=False,
            )
            for arm, tried in self.study.tuning.items()
            if bool(foundations_of(self.study.arm(arm).recipe)) == on_foundations
            for number, settings in enumerate(tried)
        ]  # fmt: skip

    def planned(self) -> list[Job]:
        """Every arm under every seed, with what was tuned."""
        return [
            replace(
                self._job(
                    arm.name, seed, merged(self._recipe(arm), _timed(arm, seed)),
                    score=not arm.timed,
                ),
                also=arm.also, along=arm.along,
            )
            for arm in self.study.arms
            for seed in range(arm.seeds)
        ]  # fmt: skip

    def _recipe(self, arm: Arm) -> Mapping[str, Any]:
        """With what was tuned; an arm that takes another's settings keeps its own above them."""
        chosen = self._choice(arm)
        own = arm.tuned_as == arm.name
        return merged(arm.recipe, chosen) if own else merged(chosen, arm.recipe)

    def _choice(self, arm: Arm) -> Mapping[str, Any]:
        """The settings that validated best at the tuning seed; none where nothing is tuned."""
        if arm.tuned_as is None:
            return {}
        tried = self.study.tuning[arm.tuned_as]
        names = [f"tuning-{arm.tuned_as}-{n}-seed{TUNING_SEED}" for n in range(len(tried))]
        scores = [json.loads(self._record(name).read_text())["validated"] for name in names]
        return tried[scores.index(max(scores))]

    def _record(self, name: str) -> Path:
        return self.store / f"{name}.json"

    def _directory(self, job: Job) -> Path:
        return self.work / f"{job.arm}-{job.config}-seed{job.seed}"

    def _done(self, job: Job) -> bool:
        """Whether its record is there, and of these very settings."""
        file = self._record(job.name)
        return file.is_file() and json.loads(file.read_text())["config"] == job.config

    def _model(self, name: str, which: str) -> Path:
        """The directory of a foundation's model."""
        job = self._foundation(name)
        models = json.loads(self._record(job.name).read_text())["models"]
        return self._directory(job) / str(models[which])

    def _resolved(self, value: Any) -> Any:
        """A recipe with the foundations' models in it."""
        if isinstance(value, Mapping):
            return {key: self._resolved(inner) for key, inner in value.items()}
        if isinstance(value, str) and value.startswith("@"):
            return str(self._model(*value.removeprefix("@").split("/")))
        return value

    # ------------------------------------------------------------------ running them

    def _all(
        self, every: Sequence[Job], *, jobs: int | None = None, again: Sequence[Job] = ()
    ) -> None:
        left = [job for job in every if job in again or not self._done(job)]
        start, lock, finished = perf_counter(), threading.Lock(), 0

        def run(job: Job) -> str | None:
            nonlocal finished
            failure = self.make(job)
            with lock:
                finished += 1
                minutes = (perf_counter() - start) / finished * (len(left) - finished) / 60
                state = "failed" if failure else "done"
                self.tell(
                    f"{finished}/{len(left)}  {job.arm} seed {job.seed} {state}, "
                    f"about {minutes:.0f} min left of this part"
                )
            return failure

        with ThreadPoolExecutor(jobs or self.jobs) as pool:
            failures = [failure for failure in pool.map(run, left) if failure]
        if failures:
            raise EngineError(
                f"{len(failures)} of {len(left)} runs of the study `{self.study.name}` ended "
                f"without a record, and its page needs all. The first: {failures[0]} Mend that and "
                "give the same command: what is finished is kept."
            )

    def make(self, job: Job) -> str | None:
        """Run it in a process of its own; what went wrong, if anything did."""
        directory = self._directory(job)
        file, log = (self.work / f"{directory.name}.{end}" for end in ("job.json", "log"))
        self.work.mkdir(parents=True, exist_ok=True)
        description = {
            "arm": job.arm,
            "seed": job.seed,
            "recipe": self._resolved(job.recipe),
            "config": job.config,
            "score": job.score,
            "tuning": job.seed == TUNING_SEED,
            "tasks": self.study.tasks,
            "memory": self.study.memory,
            "samples": self.study.samples,
            "models": {**self.study.models, **job.also},
            "along": job.along,
            "directory": str(directory),
            "record": str(self._record(job.name)),
        }
        file.write_text(json.dumps(description, indent=1))
        command = [sys.executable, "-m", "jumar.reproduce.worker", str(file)]
        with log.open("w") as out:
            ended = subprocess.run(
                command, stdout=out, stderr=subprocess.STDOUT, check=False,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
            )  # fmt: skip
        if ended.returncode:
            last = log.read_text().strip().splitlines()[-1:] or ["no output"]
            return f"{job.arm} seed {job.seed} exited with {ended.returncode} ({last[0]}; {log})."
        return None


def foundations_of(recipe: Mapping[str, Any]) -> list[str]:
    """The foundations that a recipe names."""
    return sorted(set(re.findall(r"@(\w+)/", json.dumps(recipe))))


def _timed(arm: Arm, seed: int) -> Mapping[str, Any]:
    """A timed A*-PO samples its values anew in each round, so that stage 1 is timed in each."""
    program = arm.recipe["program"]
    if not arm.timed or "value_seed" not in program:
        return {}
    return {"program": {**program, "value_seed": program["value_seed"] + seed}}
