"""What a run is made of, as hashes: a run that is resumed has to be made of the same.

The recipe tells names, and what lies under a name can change: a file of prompts, a directory of
weights, the source of a reward function.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from jumar.engines.local.adapter_files import Base
from jumar.engines.local.checkpoint import write_json
from jumar.engines.local.distributed import from_main
from jumar.engines.local.journal import digest
from jumar.engines.local.model_names import place
from jumar.engines.local.policy import LocalPolicy
from jumar.engines.settings import EngineSettings
from jumar.errors import ConfigurationError, EngineError
from jumar.tasks.task import Task
from jumar.verifiers.reward_function import source
from jumar.verifiers.score import VerifierSpec

APART = {"judge", "distributed", "vllm"}  # what is learned does not depend on them


def inputs(
    policy: LocalPolicy,
    task: Task,
    verifier: VerifierSpec,
    settings: EngineSettings,
    *,
    algorithm: str,
    others: Sequence[str],
) -> dict[str, str]:
    """A hash for each; `others` are the names of the reference and of teachers."""
    splits = {"training": task.train, "validation": task.validation, "test": task.test}
    tokenizer = sorted(policy.tokenizer.get_vocab().items()), policy.tokenizer.chat_template
    functions = [source(target).hex() for target in targets(verifier.to_dict())]
    return {
        "model": str(Base.of(policy.model, "").sha256)[:16],
        "tokenizer": digest([tokenizer, asdict(task.template)]),
        **{f"{name} prompts": digest(list(map(asdict, rows))) for name, rows in splits.items()},
        "verifier": digest([verifier.to_dict(), functions]),
        "settings": digest(settings.model_dump(mode="json", exclude=APART)),
        "algorithm": digest(algorithm),
        **{f"other model {name}": found for name in others if (found := _files(place(name)))},
    }


def check_inputs(file: Path, now: Mapping[str, str]) -> None:
    """Refuse a directory that was begun with others; write them down where it is new."""
    then = from_main(lambda: _stored(file))
    if then is None:
        write_json(file, dict(now))
    elif changed := _changed(then, now):
        raise ConfigurationError(
            f"The run in {file.parent} was started with other inputs: {changed} changed "
            "since, but what it learned has to go on from the same, or it would mix two runs. "
            "Restore them, or start a new run with another --out."
        )


def check_own(path: Path, then: Mapping[str, str], now: Mapping[str, str]) -> None:
    """Refuse the checkpoint of another run, which tells its inputs."""
    if changed := _changed(then, now):
        raise EngineError(
            f"The checkpoint {path} is of another run, with other inputs: {changed}. A run only "
            "goes on from its own. Remove it, or put back what was there."
        )


def _changed(then: Mapping[str, str], now: Mapping[str, str]) -> str:
    return ", ".join(sorted(name for name in {*then, *now} if then.get(name) != now.get(name)))


def targets(verifier: Any) -> Iterator[str]:
    """The user's own functions, wherever in a verifier they stand."""
    if isinstance(verifier, dict):
        found = verifier.get("target")
        yield from [found] if isinstance(found, str) else []
    if isinstance(verifier, dict | list | tuple):
        for part in verifier.values() if isinstance(verifier, dict) else verifier:
            yield from targets(part)


def _files(directory: str) -> str:
    """SHA-256 of the weights in a directory; empty for a hub name."""
    found = hashlib.sha256()
    for file in sorted(Path(directory).glob("*.safetensors")):
        with file.open("rb") as content:
            found.update(hashlib.file_digest(content, "sha256").digest())
    return found.hexdigest()[:16] if Path(directory).is_dir() else ""


def _stored(file: Path) -> dict[str, str] | None:
    try:
        text = file.read_bytes() if file.exists() else b"null"
        stored: dict[str, str] | None = json.loads(text)
        assert stored is None or isinstance(stored, dict)
    except (OSError, ValueError, AssertionError) as error:
        raise EngineError(
            f"{file} cannot be read ({error}), but it tells what the run was made of, and only the "
            "same may go on. Restore it, or remove it if nothing was changed."
        ) from None
    return stored
