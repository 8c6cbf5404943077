"""What of a study is still to be run, and running it: one process per run, resumable."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

from jumar.config.sources import merged
from jumar.errors import EngineError
from jumar.reproduce.study import Arm, Records, Study, config_hash

TUNING_SEED = 1000  # no run that is reported has it
Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A run to be made, or made already."""

    arm: str
    seed: int
    recipe: Mapping[str, Any]
    record: Path
    score: bool = True

    @property
    def done(self) -> bool:
        """Whether its record is there, and of these very settings."""
        if not self.record.is_file():
            return False
        stored = json.loads(self.record.read_text()).get("config")
        return self.arm == "base" or stored == config_hash(self.recipe)


@dataclass(frozen=True, slots=True, kw_only=True)
class Runner:
    """Runs a study: `store` keeps the records, `work` the run directories."""

    study: Study
    store: Path
    work: Path
    jobs: int
    tell: Tell

    def run(self) -> None:
        """The base, the tuning of each method with the same budget, then every arm."""
        self._all([self._base(), *self._tuning()])
        self._all([job for job in self._arms() if job.score])
        timed = [job for job in self._arms() if not job.score]
        self._all(sorted(timed, key=lambda job: job.seed), jobs=1)

    def missing(self) -> int:
        """How many runs there are still to make; later arms count as soon as tuning is done."""
        first = [self._base(), *self._tuning()]
        left = sum(not job.done for job in first)
        if left:
            seeds = sum(arm.seeds for arm in self.study.arms)
            return left + seeds
        return sum(not job.done for job in self._arms())

    def choices(self) -> dict[str, Mapping[str, Any]]:
        """The tuned settings of each method: those that validated best at the tuning seed."""
        found = {}
        for arm in self.study.tuned:
            scores = {}
            for number, _ in enumerate(self.study.tuning):
                record = json.loads(self._tuning_file(arm, number).read_text())
                scores[number] = record["validated"]
            found[arm.name] = self.study.tuning[max(scores, key=lambda n: scores[n])]
        return found

    # ------------------------------------------------------------------ the jobs

    def _base(self) -> Job:
        arm = self.study.arms[0]
        return Job(arm="base", seed=0, recipe=arm.recipe, record=self.store / "base.json")

    def _tuning(self) -> Iterator[Job]:
        for arm in self.study.tuned:
            for number, settings in enumerate(self.study.tuning):
                yield Job(
                    arm=f"tuning-{arm.name}-{number}", seed=TUNING_SEED, score=False,
                    recipe=merged(arm.recipe, settings), record=self._tuning_file(arm, number),
                )  # fmt: skip

    def _tuning_file(self, arm: Arm, number: int) -> Path:
        return self.store / f"tuning-{arm.name}-{number}.json"

    def _arms(self) -> Iterator[Job]:
        choices = self.choices()
        for arm in self.study.arms:
            tuned = choices[arm.tuned_as] if arm.tuned_as else {}
            for seed in range(arm.seeds):
                yield Job(
                    arm=arm.name, seed=seed, recipe=merged(arm.recipe, tuned),
                    record=self.store / f"{arm.name}-seed{seed}.json", score=not arm.timed,
                )  # fmt: skip

    # ------------------------------------------------------------------ running them

    def _all(self, every: Sequence[Job], *, jobs: int | None = None) -> None:
        left = [job for job in every if not job.done]
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
        config = config_hash(job.recipe)
        name = f"{job.arm}-{config}-seed{job.seed}"
        directory, file = self.work / name, self.work / f"{name}.job.json"
        log = self.work / f"{name}.log"
        self.work.mkdir(parents=True, exist_ok=True)
        description = {
            "arm": job.arm,
            "seed": job.seed,
            "recipe": job.recipe,
            "config": config,
            "score": job.score,
            "model": job.recipe.get("model", "tiny"),
            "tasks": dict(self.study.tasks),
            "memory": dict(self.study.memory),
            "directory": str(directory),
            "record": str(job.record),
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
    """Every record of a study's arms that is there."""
    found: dict[str, dict[int, Any]] = {}
    for file in sorted(store.glob("*-seed*.json")):
        arm, _, seed = file.stem.rpartition("-seed")
        found.setdefault(arm, {})[int(seed)] = json.loads(file.read_text())
    if (store / "base.json").is_file():
        found["base"] = {0: json.loads((store / "base.json").read_text())}
    return Records(found)
