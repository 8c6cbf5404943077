"""Files that are whole or not there, and what a disk refuses as one clear error."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from jumar.errors import EngineError

UNFINISHED = ".tmp-"  # before the name of what nothing reads yet


def write_text(path: Path, text: str) -> None:
    """Replace one file in one step, its directory made where it is not there."""
    with clear_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(f"{UNFINISHED}{path.name}-{os.getpid()}")
        try:
            write_through(unfinished, text)
            os.replace(unfinished, path)
        except BaseException:
            unfinished.unlink(missing_ok=True)
            raise
        flush(path.parent)


def write_through(path: Path, text: str) -> None:
    """Write a file and wait until the disk has it."""
    path.write_text(text, encoding="utf-8")
    flush(path)


def flush(path: Path) -> None:
    """Wait until the disk has a file or a directory's entries."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def clear_errors(path: Path) -> Iterator[None]:
    """Full disks, read-only ones and missing rights as one message."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise EngineError(
            f"The run could not write {path} ({reason}). It needs room and the right to write "
            "there, or it could not be resumed. Earlier checkpoints are whole: free space or "
            "choose another directory, then resume."
        ) from error
