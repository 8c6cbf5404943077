"""A program's verbs, written down: what is finished is not done again.

A program is plain Python that decides only from the results of verbs, so running it again repeats
the same calls in the same order. Call number i finds its record in `stages/<i>-<verb>/`.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jumar.disk import clear_errors
from jumar.engines.local.checkpoint import sweep, write_json
from jumar.engines.local.distributed import from_main
from jumar.errors import ConfigurationError, EngineError


@dataclass(frozen=True, slots=True)
class Entry:
    """One call of a verb: its own directory, and its result once it is finished."""

    number: int
    directory: Path
    inputs: Mapping[str, Any]
    result: Mapping[str, Any] | None

    def finish(self, result: Mapping[str, Any]) -> None:
        """Store the result; from here on the call is never repeated."""
        record = {"inputs": self.inputs, "result": result}
        write_json(self.directory / "stage.json", {**record, "sha256": digest(record)})


class Journal:
    """The calls of one run of one program, in order."""

    def __init__(self, directory: Path) -> None:
        self.directory, self._calls = directory, 0

    def open(self, verb: str, inputs: Mapping[str, Any]) -> Entry:
        """The record of the next call; it must be the call that was made here before."""
        number, self._calls = self._calls, self._calls + 1
        directory = self.directory / f"{number:02d}-{verb}"
        record = directory / "stage.json"
        stored = from_main(lambda: _stored(record, number))
        if stored is None:
            return Entry(number, directory, inputs, None)
        if stored["inputs"] != dict(inputs):
            raise ConfigurationError(
                f"The program calls `{verb}` with {dict(inputs)}, but {record} was made with "
                f"{stored['inputs']}. A resumed program must repeat its calls. Start a new run "
                "directory, or restore the program and its settings."
            )
        return Entry(number, directory, inputs, stored["result"])


def _stored(record: Path, number: int) -> dict[str, Any] | None:
    """What a call left, as it left it; a call that is new gets its directory."""
    if not record.exists() and not _goes_on(record.parents[1], number):
        with clear_errors(record):
            record.parent.mkdir(parents=True, exist_ok=True)
        return None
    try:
        stored: dict[str, Any] = json.loads(record.read_bytes())
        if stored.pop("sha256", None) == digest(stored):
            with clear_errors(record):
                sweep(record.parent)  # what a crash left of removing what the stage needs no more
            return stored
    except (OSError, ValueError, TypeError, AttributeError):
        pass
    raise EngineError(
        f"The record {record} was removed or changed after it was written, but it tells what a "
        "finished stage found, and all later ones rest on that. Restore it, or start a new run "
        "with another --out."
    )


def _goes_on(directory: Path, number: int) -> bool:
    """Whether a later call was begun."""
    found = directory.iterdir() if directory.is_dir() else ()
    return any(int(entry.name.partition("-")[0]) > number for entry in found)


def digest(content: Any) -> str:
    """A hash of JSON-like content, for the journal."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
