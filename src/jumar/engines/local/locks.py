"""Directories that one process at a time writes; one that is killed lets its lock go."""

import fcntl
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from jumar.errors import ConfigurationError, EngineError

LOCK = "run.lock"
LOOK_EVERY = 0.2  # seconds


@contextmanager
def owned(directory: Path) -> Iterator[None]:
    """Nobody else trains in this run directory; refused where somebody does."""
    with (directory / LOCK).open("a+") as file:
        if not _taken(file):
            raise ConfigurationError(
                f"Another process trains in {directory} ({_owner(file)}), but a run directory "
                "needs one at a time: two would write over each other's checkpoints. Wait for it, "
                "end it, or choose another --out."
            )
        yield


@contextmanager
def in_turn(lock: Path, *, what: str, patience: float, made: Callable[[], int]) -> Iterator[None]:
    """Wait for the others who make `what`, as long as `made` goes on counting more of it: for at
    most `patience` seconds without.
    """
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("a+") as file:
        seen, deadline = made(), time.monotonic() + patience
        while not _taken(file):
            if made() != seen:
                seen, deadline = made(), time.monotonic() + patience
            if time.monotonic() > deadline:
                raise EngineError(
                    f"The run waited for {what}, which another process is making ({_owner(file)}), "
                    f"but it made nothing for {patience:g} seconds, and two would do the same work "
                    "twice. End that process, then go on with --resume."
                )
            time.sleep(LOOK_EVERY)
        yield


def _taken(file: IO[str]) -> bool:
    """Whether the lock is ours now."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    file.truncate(0)
    file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
    file.flush()
    return True


def _owner(file: IO[str]) -> str:
    file.seek(0)
    return file.read().strip() or "it does not say which"
