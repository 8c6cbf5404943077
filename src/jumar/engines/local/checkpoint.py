"""Checkpoints that are complete or not there, whatever moment a run is killed at.

A directory is written beside its place under a name that nothing reads, every file is flushed to
the disk, a manifest with size and SHA-256 of each is written last, and one rename publishes it. The
newest checkpoint is found by its name; there is no pointer that could point to half of one, and no
clock is asked. Only safetensors and JSON are ever read back. Of several processes the main one
writes, and the others go on when a directory is published.
"""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from jumar import disk
from jumar.disk import UNFINISHED
from jumar.engines.local.distributed import dealt_like, from_main, is_main
from jumar.errors import EngineError

MANIFEST = "manifest.json"
REPLACED = ".old-"
Writer = Callable[[Path], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a published directory holds."""

    path: Path
    step: int
    score: float | None
    files: Mapping[str, tuple[int, str]]  # relative name: bytes, SHA-256


def save(root: Path, step: int, write: Writer, *, score: float | None = None) -> Path:
    """Publish `root/step-NNNNNNNN` with what `write` puts into the directory that it is given."""
    path = root / f"step-{step:08d}"
    _publish(path, write, {"step": step, "score": score})
    return path


def replace_directory(path: Path, write: Writer) -> None:
    """Publish `path`, in place of an earlier one; a reader finds the old or the new, never half."""
    _publish(path, write, {"step": 0, "score": None})


def write_json(path: Path, content: Any) -> None:
    """Replace one JSON file in one step."""
    write_text(path, json.dumps(content, indent=1, sort_keys=True) + "\n")


def write_text(path: Path, text: str) -> None:
    """Replace one file in one step."""
    if is_main():
        disk.write_text(path, text)


def newest(root: Path) -> Path | None:
    """The checkpoint of the highest step, verified; None where there is none.

    What is published is whole, so one that is not was altered or copied in part. It is refused: an
    older one in its place would silently undo work.
    """
    name = from_main(lambda: _newest(root))
    return None if name is None else root / name


def _newest(root: Path) -> str | None:
    if not root.is_dir():
        return None
    with disk.clear_errors(root):
        sweep(root)
    found = [path for path in root.iterdir() if _step(path) >= 0]
    if not found:
        return None
    last = max(found, key=lambda path: (_step(path), not path.name.startswith(REPLACED)))
    verify(last)
    return last.name


def _step(path: Path) -> int:
    """The step that a checkpoint's name tells; -1 for anything else."""
    name = rf"(?:{re.escape(REPLACED)})?step-(\d+)(?:-\d+)?"
    found = re.fullmatch(name, path.name) if path.is_dir() else None
    return int(found[1]) if found else -1


def verify(path: Path) -> None:
    """Compare every file of a published directory with its manifest."""
    manifest = _manifest(path)
    if manifest is None:
        raise EngineError(
            f"{path} has no readable {MANIFEST}, but it needs one: it tells what "
            "belongs there, and without it anything could. Restore the file, or remove this "
            "directory to resume from an earlier one."
        )
    for name, (size, digest) in manifest.files.items():
        file = path / name
        if not file.is_file() or file.stat().st_size != size or _sha256(file) != digest:
            state = "was changed" if file.is_file() else "is missing"
            raise EngineError(
                f"{path} is damaged: {name} {state} after it was written. Its size "
                f"and SHA-256 have to be those in {MANIFEST}, or training would go on from other "
                "numbers. Remove this directory to resume from an earlier one, or restore the file."
            )
    listed = {path / name for name in (MANIFEST, *manifest.files)}
    if added := sorted(file for file in path.rglob("*") if file.is_file() and file not in listed):
        raise EngineError(
            f"{path} is damaged: {added[0].relative_to(path)} was put there after it was written. "
            f"Only files of {MANIFEST} belong there, because some decide how a model is read. "
            "Remove it."
        )


def verify_all(*paths: Path | None) -> None:
    """Each that is named."""
    for path in paths:
        if path is not None:
            verify(path)


def prune(root: Path, *, keep_last: int, keep_best: int = 0) -> None:
    """Remove checkpoints but the last ones and those of the best scores; and what crashes left."""
    if not is_main():
        return
    found = sorted(_complete(root), key=lambda m: m.step)
    scored = sorted((m for m in found if m.score is not None), key=lambda m: (m.score, m.step))
    kept = {m.path for m in found[-keep_last:]} | {m.path for m in scored[::-1][:keep_best]}
    with disk.clear_errors(root):
        for manifest in found:
            if manifest.path not in kept:
                remove_directory(manifest.path)
        sweep(root)


def optimiser_tensors(model: nn.Module, optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """{"name.exp_avg": ...}: the optimiser's state by the names of the model's parameters."""
    return {
        f"{name}.{key}": value.detach().contiguous()
        for name, parameter in model.named_parameters()
        for key, value in optimiser.state.get(parameter, {}).items()
        if isinstance(value, Tensor)
    }


def load_optimiser(
    model: nn.Module, optimiser: torch.optim.Optimizer, tensors: Mapping[str, Tensor]
) -> None:
    """Give the optimiser the state that `optimiser_tensors` wrote; rates and the like stay."""
    parameters = dict(model.named_parameters())
    states: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        parameter, _, key = name.rpartition(".")
        states.setdefault(parameter, {})[key] = tensor
    if unknown := states.keys() - parameters.keys():
        raise EngineError(
            f"The optimiser state has moments of {sorted(unknown)[0]}, but the model needs those "
            "of its own parameters. These belong to another architecture. Resume with the model "
            "that the run was started with."
        )
    optimiser.state.clear()
    for name, state in states.items():
        home = parameters[name]
        optimiser.state[home] = {
            # the step counts on the CPU unless the optimiser is fused; moments live beside weights
            key: value.clone() if key == "step" else dealt_like(value, home)
            for key, value in state.items()
        }


def _publish(path: Path, write: Writer, about: Mapping[str, Any]) -> None:
    from_main(lambda: _published(path, write, about))


def _published(path: Path, write: Writer, about: Mapping[str, Any]) -> None:
    unfinished = path.parent / f"{UNFINISHED}{path.name}-{os.getpid()}"
    replaced = path.parent / f"{REPLACED}{path.name}-{os.getpid()}"
    with disk.clear_errors(path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            sweep(path.parent)
            unfinished.mkdir()
            write(unfinished)
            _seal(unfinished, about)
            if path.exists():
                os.rename(path, replaced)
            os.rename(unfinished, path)
            disk.flush(path.parent)
            sweep(path.parent)
        except BaseException:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise


def _seal(directory: Path, about: Mapping[str, Any]) -> None:
    """Flush every file and directory, and write the manifest last."""
    files = sorted(file for file in directory.rglob("*") if file.is_file())
    listed = {}
    for file in files:
        disk.flush(file)
        name = file.relative_to(directory).as_posix()
        listed[name] = {"bytes": file.stat().st_size, "sha256": _sha256(file)}
    for inner in (entry for entry in directory.rglob("*") if entry.is_dir()):
        disk.flush(inner)
    manifest = {"format": 1, **about, "files": listed}
    disk.write_through(directory / MANIFEST, json.dumps(manifest, indent=1, sort_keys=True))
    disk.flush(directory)


def _complete(root: Path) -> list[Manifest]:
    """Manifests of the directories in `root` that have every file in its size."""
    found = []
    for path in sorted(root.iterdir()) if root.is_dir() else []:
        manifest = None if path.name.startswith(UNFINISHED) else _manifest(path)
        if manifest is not None and all(
            (path / name).is_file() and (path / name).stat().st_size == size
            for name, (size, _) in manifest.files.items()
        ):
            found.append(manifest)
    return found


def _manifest(path: Path) -> Manifest | None:
    try:
        data = json.loads((path / MANIFEST).read_text())
        files = {name: (file["bytes"], file["sha256"]) for name, file in data["files"].items()}
        return Manifest(path=path, step=data["step"], score=data["score"], files=files)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def sweep(directory: Path) -> None:
    """Finish what crashes left: unfinished directories go, a replaced one returns if need be."""
    for entry in directory.iterdir():
        owner = entry.name.rpartition("-")[2]
        if entry.name.startswith(UNFINISHED) and not _runs_elsewhere(owner):
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
        if entry.name.startswith(REPLACED) and not _runs_elsewhere(owner):
            home = directory / entry.name.removeprefix(REPLACED).rpartition("-")[0]
            remove_directory(entry) if home.exists() else os.rename(entry, home)


def remove_directory(path: Path) -> None:
    """Remove a published directory, if it is there."""
    if not is_main() or not path.exists():
        return
    # renamed first: half a directory must not look like a checkpoint
    unfinished = path.parent / f"{UNFINISHED}{path.name}-{os.getpid()}"
    with disk.clear_errors(path):
        os.rename(path, unfinished)
        shutil.rmtree(unfinished)


def _runs_elsewhere(owner: str) -> bool:
    if not owner.isdigit() or int(owner) == os.getpid():
        return False
    try:
        os.kill(int(owner), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
