"""Two or more processes that take turns: each does one unit of work, then waits for its next turn.

    with started({"jumar": train, "TRL": train_other}) as sides:
        found = alternated(sides, rounds=10)      # {"jumar": [{"step": seconds, ...}, ...], ...}

Nobody computes while another one does, and turns of all sides lie within seconds of each other:
what else the machine does touches them alike.
"""

import os
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from pathlib import Path
from time import perf_counter
from typing import Any

from transformers import logging

from speed.held import forget_peak, held, peak

FORK = get_context("fork")  # everything is imported once

Numbers = dict[str, float]
Training = Callable[["Pause", Path], Any]


class Ended(BaseException):
    """Nobody wants another turn."""


class Pause:
    """Called by a side at the end of each unit of work; returns when it is its turn again."""

    def __init__(self, pipe: Connection) -> None:
        parent = parent_process()
        assert parent is not None
        self._pipe, self._parent = pipe, parent.sentinel
        self._held = held()
        self._begin()

    def __call__(self, **numbers: float) -> None:
        """Tell the seconds of the unit, and the bytes that the process held at most in it beyond
        what it came with, and `numbers`. Ended where nobody wants or asks for another.
        """
        seconds = perf_counter() - self._start
        self._pipe.send({"step": seconds, "peak": peak() - self._held, **numbers})
        wait([self._pipe, self._parent])
        if not self._pipe.poll() or not self._pipe.recv():
            raise Ended
        self._begin()

    def _begin(self) -> None:
        forget_peak()
        self._start = perf_counter()


class Side:
    """A process; its first unit, with all that is made once, is done when this returns."""

    def __init__(self, name: str, train: Training) -> None:
        self.name, (self._pipe, other) = name, FORK.Pipe()
        self._process = FORK.Process(target=_run, args=(train, other))
        self._process.start()
        other.close()
        self.first = self._answer()

    def turn(self) -> Numbers:
        """One unit of work."""
        self._pipe.send(True)
        return self._answer()

    def _answer(self) -> Numbers:
        try:
            numbers: Numbers = self._pipe.recv()
        except EOFError:
            raise RuntimeError(f"{self.name} ended before its turn was over; see above") from None
        return numbers

    def end(self) -> None:
        """Let it go."""
        with suppress(BrokenPipeError):
            self._pipe.send(False)
        self._process.join(60)
        self._process.kill()
        self._process.join()


def _run(train: Training, pipe: Connection) -> None:
    warnings.simplefilter("ignore")  # of other people's packages
    logging.disable_progress_bar()
    with tempfile.TemporaryDirectory() as folder, suppress(Ended):
        os.environ["JUMAR_CACHE"] = f"{folder}/cache"
        train(Pause(pipe), Path(folder))


@contextmanager
def started(each: Mapping[str, Training]) -> Iterator[dict[str, Side]]:
    """The sides, started one after the other, each after its first unit."""
    sides: dict[str, Side] = {}
    try:
        for name, train in each.items():
            sides[name] = Side(name, train)
        yield sides
    finally:
        for side in sides.values():
            side.end()


def alternated(sides: Mapping[str, Side], rounds: int) -> dict[str, list[Numbers]]:
    """What each side's turns took; every other round goes the other way round."""
    found: dict[str, list[Numbers]] = {name: [] for name in sides}
    for number in range(rounds):
        for name in list(sides)[:: -1 if number % 2 else 1]:
            found[name].append(sides[name].turn())
    return found
