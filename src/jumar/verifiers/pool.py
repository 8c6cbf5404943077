"""The scoring pool: every score in a killable process, under a CPU and a wall-clock limit.

    with ScoringPool(task.verifier) as pool:
        scores = pool.score(responses, examples)

A response that hangs or breaks its worker is charged for it ("timed_out", "crashed"), the worker is
replaced, and no other response notices. No signals and no timers run in this process, so the pool
works the same from the main thread, from any other thread and under asyncio.
"""

import os
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import replace
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple, Self

from jumar.errors import ConfigurationError, EngineError
from jumar.verifiers import math_verify
from jumar.verifiers.build import build
from jumar.verifiers.process import WorkerDiedError, WorkerProcess, WorkerTimeoutError
from jumar.verifiers.score import STATUSES, Scorable, Score, VerifierSpec

MAX_RESPONSE = (
    1_000_000  # characters; of a longer response only the end, where the answer is, is read
)
START_SECONDS = 120.0  # importing a user's module may be slow on a cold disk
OPINION_CPU_SECONDS = 2.0


class _Job(NamedTuple):
    response: str
    example: Scorable
    future: "Future[Score]"


class ScoringPool:
    """Workers that score; a context manager, safe to use from any thread."""

    def __init__(
        self,
        verifier: VerifierSpec,
        *,
        workers: int = 2,
        cpu_seconds: float = 5.0,
        wall_seconds: float = 60.0,
        memory_mb: int = 2048,
    ) -> None:
        for name, value in (("workers", workers), ("cpu_seconds", cpu_seconds),
                            ("wall_seconds", wall_seconds), ("memory_mb", memory_mb)):  # fmt: skip
            if value <= 0:
                raise ConfigurationError(
                    f"The scoring pool was given {name}={value}, and it needs a positive number: "
                    f"without it no response could be scored. Set {name} above 0."
                )
        self.verifier = verifier
        self._opinion = bool(verifier.options.get("second_opinion"))
        if self._opinion:
            math_verify.require()
        self._cpu_seconds, self._wall_seconds = cpu_seconds, wall_seconds
        self._settings = {
            "verifier": verifier.to_dict(),
            "memory_mb": memory_mb,
            "path": [os.path.abspath(entry) for entry in sys.path],
            "parent": os.getpid(),
        }
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._seconds: deque[float] = deque(maxlen=10_000)
        self._pids: dict[int, int] = {}
        self._closed = False
        # the kernel ties a worker's death to the thread that started it: ours live as long
        needed = 0 if verifier.kind == "none" else workers
        started: list[Future[None]] = [Future() for _ in range(needed)]
        self._threads = [
            threading.Thread(target=self._serve, args=(i, started[i]), daemon=True)
            for i in range(needed)
        ]
        for thread in self._threads:
            thread.start()
        try:
            for future in started:
                future.result()
        except BaseException:
            self.close()
            raise

    def score(self, responses: Sequence[str], examples: Sequence[Scorable]) -> list[Score]:
        """One score per response, in order. A dead or slow worker costs only its own response."""
        return [future.result() for future in self.begin(responses, examples)]

    def begin(
        self, responses: Sequence[str], examples: Sequence[Scorable]
    ) -> "list[Future[Score]]":
        """The same, without waiting for it."""
        if self.verifier.kind == "none":
            build(self.verifier)  # refuses it
        futures: list[Future[Score]] = []
        jobs = [_Job(r, e, Future()) for r, e in zip(responses, examples, strict=True)]
        with self._lock:  # a pool closed by another thread must not leave a job waiting for ever
            if self._closed:
                raise EngineError(
                    "The scoring pool was asked for scores, and it needs its workers, but it has "
                    "been closed. Score inside its `with` block, or open a new pool."
                )
            for job in jobs:
                self._jobs.put(job)
                futures.append(job.future)
        return futures

    def statistics(self) -> dict[str, float]:
        """Counts per status, restarts, math-verify disagreements, seconds per score (p50, p99)."""
        with self._lock:
            seconds = sorted(self._seconds)
            counts = dict(self._counts)
        names = (*STATUSES, "restarts", "opinions", "disagreements")
        result = {name: float(counts.get(name, 0)) for name in names}
        for percent in (50, 99):
            at = min(len(seconds) - 1, len(seconds) * percent // 100)
            result[f"seconds_p{percent}"] = seconds[at] if seconds else 0.0
        return result

    def worker_pids(self) -> list[int]:
        """The process ids of the living workers."""
        with self._lock:
            return list(self._pids.values())

    def close(self) -> None:
        """Finish what was asked, then end the workers."""
        with self._lock:
            if not self._closed:
                self._closed = True
                for _ in self._threads:
                    self._jobs.put(None)
        for thread in self._threads:
            thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:  # nobody waits for these scores any more
            with self._lock, suppress(Empty):
                while not self._closed and (job := self._jobs.get_nowait()):
                    job.future.cancel()
        self.close()

    def _serve(self, slot: int, started: "Future[None]") -> None:
        """A thread's life: one worker, one response at a time, a new worker when it dies."""
        try:
            worker = self._start(slot)
            problem = worker.ready(START_SECONDS)
        except Exception as error:
            problem = f"The scoring worker needs to start, but {error}. Check the machine's limits."
            started.set_exception(EngineError(problem))
            self._forget(slot, None)
            return
        if problem:
            self._forget(slot, worker)
            started.set_exception(ConfigurationError(problem))
            return
        started.set_result(None)
        current: WorkerProcess | None = worker
        while (job := self._jobs.get()) is not None:
            try:
                current = current or self._start(slot)
                began = time.monotonic()
                score, alive = self._one(current, job)
                self._count(score, time.monotonic() - began)
                if not alive:
                    dead, current = current, None
                    self._retire(slot, dead)
                    current = self._start(slot)
                job.future.set_result(score)
            except Exception as error:
                if not job.future.done():
                    message = f"The scoring pool needs a worker, but {error}. Check process limits."
                    job.future.set_exception(EngineError(message))
        self._forget(slot, current)

    def _one(self, worker: WorkerProcess, job: _Job) -> tuple[Score, bool]:
        """The score, and whether the worker is still fit to use."""
        example = job.example
        request = {
            "response": job.response[-MAX_RESPONSE:],
            "prompt": example.prompt,
            "answer": example.answer,
            "metadata": dict(example.metadata),
            "cpu_seconds": self._cpu_seconds,
        }
        try:
            if problem := worker.ready(START_SECONDS):
                raise WorkerDiedError(problem)
            score = Score(**worker.ask(request, self._wall_seconds))
        except WorkerTimeoutError as error:
            return Score(0.0, False, "timed_out", detail=str(error)), False
        except (WorkerDiedError, TypeError) as error:
            return Score(0.0, False, "crashed", detail=str(error)), False
        if not self._opinion or score.extracted is None:
            return score, True
        return self._with_opinion(worker, score, example.answer)

    def _with_opinion(self, worker: WorkerProcess, score: Score, gold: str) -> tuple[Score, bool]:
        """The same score with math-verify's verdict in `detail`; its hangs cost only time."""
        cpu = min(OPINION_CPU_SECONDS, self._cpu_seconds)
        request: dict[str, Any] = {"opinion": True, "extracted": score.extracted, "gold": gold}
        try:
            reply = worker.ask({**request, "cpu_seconds": cpu}, self._wall_seconds)
            opinion, alive = reply.get("opinion"), True
        except (WorkerTimeoutError, WorkerDiedError):
            opinion, alive = None, False
        if not isinstance(opinion, bool):
            return replace(score, detail=f"{score.detail} math-verify: no opinion".strip()), alive
        agrees = opinion == score.correct
        with self._lock:
            self._counts["opinions"] += 1
            self._counts["disagreements"] += not agrees
        word = "agrees" if agrees else f"disagrees, says {'right' if opinion else 'wrong'}"
        return replace(score, detail=f"{score.detail} math-verify: {word}".strip()), alive

    def _count(self, score: Score, seconds: float) -> None:
        with self._lock:
            self._counts[score.status] += 1
            self._seconds.append(seconds)

    def _start(self, slot: int) -> WorkerProcess:
        worker = WorkerProcess(self._settings)
        with self._lock:
            self._pids[slot] = worker.pid
        return worker

    def _retire(self, slot: int, worker: WorkerProcess) -> None:
        self._forget(slot, worker)
        with self._lock:
            self._counts["restarts"] += 1

    def _forget(self, slot: int, worker: WorkerProcess | None) -> None:
        with self._lock:
            self._pids.pop(slot, None)
        if worker is not None:
            worker.kill()
