"""What of a study is still to be run, and running it: one process per run, resumable."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

from jumar.config.sources import merged
from jumar.errors import EngineError
from jumar.reproduce.study import Records, Study

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
        """Base and foundations, the tuning of each method, every arm, and alone the timed ones."""
        self._all([self._base()])
        self._all(self._foundations())
        self._all(self._tuning())
        arms = self._arms()
        self._all([job for job in arms if job.score])
        timed = [job for job in arms if not job.score]
        self._all(sorted(timed, key=lambda job: job.seed), jobs=1)

    def missing(self) -> int:
        """How many runs there are still to make, at most."""
        first = [self._base(), *self._foundations(), *self._tuning()]
        left = sum(not self._done(job) for job in first)
        if left:
            return left + sum(arm.seeds for arm in self.study.arms)
        return sum(not self._done(job) for job in self._arms())

    def choices(self) -> dict[str, Mapping[str, Any]]:
        """The tuned settings of each method: those that validated best at the tuning seed."""
        found = {}
        for arm, tried in self.study.tuning.items():
            files = [self._record(f"tuning-{arm}-{n}-seed{TUNING_SEED}") for n in range(len(tried))]
            scores = [json.loads(file.read_text())["validated"] for file in files]
            found[arm] = tried[scores.index(max(scores))]
        return found

    # ------------------------------------------------------------------ the jobs

    def _job(self, arm: str, seed: int, recipe: Mapping[str, Any], *, score: bool = True) -> Job:
        return Job(arm=arm, seed=seed, recipe=recipe, config=self.study.config(recipe), score=score)

    def _base(self) -> Job:
        return self._job("base", 0, self.study.arms[0].recipe)

    def _foundations(self) -> list[Job]:
        return [self._job(arm.name, FOUNDATION_SEED, arm.recipe) for arm in self.study.foundations]

    def _tuning(self) -> list[Job]:
        return [
            self._job(
                f"tuning-{arm}-{number}", TUNING_SEED,
                merged(self.study.arm(arm).recipe, settings), score=False,
            )
            for arm, tried in self.study.tuning.items()
            for number, settings in enumerate(tried)
        ]  # fmt: skip

    def _arms(self) -> list[Job]:
        choices = self.choices()
        return [
            self._job(
                arm.name, seed, merged(arm.recipe, choices.get(arm.tuned_as or "", {})),
                score=not arm.timed,
            )
            for arm in self.study.arms
            for seed in range(arm.seeds)
        ]  # fmt: skip

    def _record(self, name: str) -> Path:
        return self.store / f"{name}.json"

    def _directory(self, job: Job) -> Path:
        return self.work / f"{job.arm}-{job.config}-seed{job.seed}"

    def _done(self, job: Job) -> bool:
        """Whether its record is there, and of these very settings."""
        file = self._record(job.name)
        return file.is_file() and json.loads(file.read_text())["config"] == job.config

    def _model(self, name: str, which: str) -> str:
        """The directory of a foundation's model."""
        job = next(job for job in self._foundations() if job.arm == name)
        models = json.loads(self._record(job.name).read_text())["models"]
        return str(self._directory(job) / models[which])

    def _resolved(self, value: Any) -> Any:
        """A recipe with the foundations' models in it."""
        if isinstance(value, Mapping):
            return {key: self._resolved(inner) for key, inner in value.items()}
        if isinstance(value, str) and value.startswith("@"):
            return self._model(*value.removeprefix("@").split("/"))
        return value

    # ------------------------------------------------------------------ running them

    def _all(self, every: Sequence[Job], *, jobs: int | None = None) -> None:
        left = [job for job in every if not self._done(job)]
        start, lock, finished = perf_counter(), threading.Lock(), 0

        def run(job: Job) -> str | None:
            nonlocal finished
            failure = self._one(job)
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

    def _one(self, job: Job) -> str | None:
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
            "tasks": self.study.tasks,
            "memory": self.study.memory,
            "samples": self.study.samples,
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


def read_records(store: Path) -> Records:
    """Every record that is there."""
    found: dict[str, dict[int, Any]] = {}
    for file in sorted(store.glob("*-seed*.json")):
        arm, _, seed = file.stem.rpartition("-seed")
        found.setdefault(arm, {})[int(seed)] = json.loads(file.read_text())
    return Records(found)
