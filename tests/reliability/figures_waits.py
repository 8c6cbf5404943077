"""R16: everything that waits for somebody, and somebody who does not come."""

import os
import signal
import tempfile
from pathlib import Path

from jumar.engines.local.locks import in_turn, owned
from jumar.errors import EngineError
from jumar.tasks.task import Example
from jumar.verifiers.pool import ScoringPool
from jumar.verifiers.score import VerifierSpec

from .tally import Tally
from .waits import ENDED, sources, waits

REWARDS = Path(__file__).with_name("endless_rewards.py")


def scored(function: str, status: str, word: str) -> None:
    """A score that does not come is counted as what it is, and the next one comes."""
    spec = VerifierSpec("function", {"target": f"{REWARDS}:{function}"})
    with ScoringPool(spec, workers=1, wall_seconds=2.0) as pool:
        (score,) = pool.score(["x"], [Example(prompt="p")])
    assert score.status == status, score
    assert word in score.detail, score


def stopped() -> None:
    """A worker that the system stopped is given up like one that hangs."""
    spec = VerifierSpec("exact", {})
    with ScoringPool(spec, workers=1, wall_seconds=2.0) as pool:
        os.kill(pool.worker_pids()[0], signal.SIGSTOP)
        first, second = pool.score(["x", "x"], [Example(prompt="p", answer="x")] * 2)
    assert first.status == "timed_out", first
    assert second.status in ("right", "wrong", "unparseable"), second


def not_in_turn() -> None:
    """Whoever holds a lock and makes nothing is not waited for, and is named."""
    said = "it went on"
    with tempfile.TemporaryDirectory() as place, owned(Path(place)):
        try:
            with in_turn(Path(place, "run.lock"), what="it", patience=0.5, made=lambda: 0):
                pass
        except EngineError as error:
            said = str(error)
    assert f"process {os.getpid()}" in said, said


def deadline_coverage() -> tuple[int, int, list[str]]:
    """In every source file each call that waits for another process, thread or socket has a time
    limit, or its end is told in a table with what brings it; and a reward function that sleeps, one
    whose process dies, a worker that the system stops, and another run that holds a lock and does
    nothing are given up with a sentence that says who was waited for.
    """
    tally = Tally()
    for file in sources():
        tally.attempt(file, lambda file=file: [ENDED[wait] for wait in waits(file)])
    tally.attempt("a score that sleeps", lambda: scored("sleeps", "timed_out", "wall-clock"))
    tally.attempt("a score that dies", lambda: scored("dies", "crashed", "SIGKILL"))
    tally.attempt("a worker that is stopped", stopped)
    tally.attempt("a lock that is held", not_in_turn)
    return tally.result


FIGURES = {"R16": deadline_coverage}
