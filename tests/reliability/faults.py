"""Counts the file operations of a process below one directory, and strikes at one of them.

Operations are what can change the disk: opening to write, a write that safetensors makes, flushing,
renaming, removing, making directories. Before each of them the process may be killed, or be told
that the disk does not take it. "torn" cuts the file that was written last in two before it kills:
what a kill in the middle of that write leaves.
"""

import os
import signal
import sys
from pathlib import Path
from typing import Any

import safetensors.torch

EVENTS = ("os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.truncate")
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT


class Faults:
    """To be made once in a process that is about to end: nothing takes the hook out again."""

    def __init__(self, root: Path, strike: int = 0, how: str | int = "kill") -> None:
        """At operation `strike`, from 1: "kill", "torn", or an errno that is raised."""
        self.root, self.strike, self.how = str(root), strike, how
        self.checkpoints = root / "run" / "checkpoints"
        self.count, self.last = 0, ""  # the file that was opened last to write
        self.published: list[tuple[int, str]] = []  # operations that made a checkpoint appear
        self._write, self._flush = safetensors.torch.serialize_file, os.fsync
        safetensors.torch.serialize_file = self._serialize
        os.fsync = self._fsync
        sys.addaudithook(self._hook)

    def _hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, _, flags = arguments
            if isinstance(path, str | os.PathLike) and flags & WRITES and self._ours(path):
                self._operation(str(path))
                self.last = str(path)
        elif event in EVENTS and (self._ours(arguments[0]) or _in_open_directory(event, arguments)):
            self._operation(str(arguments[0]))
            if event == "os.rename" and Path(arguments[1]).parent == self.checkpoints:
                self.published.append((self.count, Path(arguments[1]).name))

    def _ours(self, path: Any) -> bool:
        return isinstance(path, str | os.PathLike) and os.fspath(path).startswith(self.root)

    def _serialize(self, tensors: Any, path: Any, *more: Any, **options: Any) -> None:
        self._operation(str(path))
        self._write(tensors, path, *more, **options)
        self.last = str(path)
        self._operation(str(path))

    def _fsync(self, descriptor: int) -> None:
        self._operation("fsync")
        self._flush(descriptor)

    def _operation(self, path: str) -> None:
        self.count += 1
        if self.count != self.strike:
            return
        if isinstance(self.how, int):
            raise OSError(self.how, os.strerror(self.how), path)
        if self.how == "torn" and os.path.isfile(self.last):
            self.strike = 0  # cutting is an operation, too
            os.truncate(self.last, _half(self.last))
        os.kill(os.getpid(), signal.SIGKILL)


def _half(path: str) -> int:
    """The size of a file of which half was written; of lines that are appended, the last one."""
    size = os.path.getsize(path)
    if not path.endswith("metrics.jsonl"):
        return size // 2
    with open(path, "rb") as file:
        start = file.read().rstrip(b"\n").rfind(b"\n") + 1
    return (start + size) // 2


def _in_open_directory(event: str, arguments: tuple[Any, ...]) -> bool:
    """Whether a name is below a directory that is open, as where a tree is removed."""
    return event in ("os.remove", "os.rmdir") and arguments[-1] >= 0
