"""An exchange of weights that goes wrong; as a program, a run on a server that meets it.

python wrong_exchange.py stale KEPT train recipe.yaml ...      jumar, with the fourth going wrong
"""

import shutil
import sys
import time
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file

from jumar.engines import vllm
from jumar.engines.vllm.requests import Engine
from jumar.engines.vllm.server import Server


def skipped(sent: list[Path]) -> None:
    """Nothing arrives."""


def half(sent: list[Path]) -> Path:
    """One of two layers arrives."""
    # not parts of a layer: vLLM leaves the rest undefined, and NaN would stay in its cache
    (file,) = sent[-1].iterdir()
    some = {name: tensor for name, tensor in load_file(file).items() if ".0." in name}
    save_file(some, file, {"format": "pt"})
    return sent[-1]


def stale(sent: list[Path]) -> Path:
    """What was sent two synchronisations ago arrives."""
    return sent[-3]


class Between:
    """A vLLM, and a fault on the way to it, from exchange number `first` on."""

    def __init__(self, engine: Engine, fault: str, kept: Path, *, first: int) -> None:
        self.name, self.room, self.stream, self.close = (
            engine.name, engine.room, engine.stream, engine.close,
        )  # fmt: skip
        self._engine, self._fault, self._kept, self._first = engine, fault, kept, first
        self._sent: list[Path] = []

    def load(self, directory: Path) -> None:
        self._sent.append(shutil.copytree(directory, self._kept / str(len(self._sent))))
        loaded = directory
        if len(self._sent) >= self._first:
            (self._kept / "since").write_text(str(time.monotonic()))
            loaded = {"skipped": skipped, "half": half, "stale": stale}[self._fault](self._sent)
        if loaded is not None:
            self._engine.load(loaded)


if __name__ == "__main__":
    fault, kept, *sys.argv[1:] = sys.argv[1:]

    def server(*arguments: Any, **more: Any) -> Between:
        return Between(Server(*arguments, **more), fault, Path(kept), first=4)

    vllm.Server = server  # type: ignore[assignment, misc]
    from jumar.cli import main

    main()
