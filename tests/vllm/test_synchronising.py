"""The exchange of weights with a real vLLM, and exchanges that go wrong in three ways."""

import shutil
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

import pytest
from faults import noted
from safetensors.torch import load_file, save_file
from sides import TRUNCATED, drawn, gaps, sampler_with, update

from jumar.engines.vllm.in_process import InProcess
from jumar.errors import SynchronisationError


class Between:
    """A vLLM whose weights take a wrong turn on their way: `load` decides what arrives."""

    def __init__(self, engine: InProcess, kept: Path) -> None:
        self.name, self.room, self.stream, self.close = (
            engine.name, engine.room, engine.stream, engine.close,
        )  # fmt: skip
        self._engine, self._kept = engine, kept
        self._arrived: list[Path] = []
        self.fault: Callable[[Path], Path | None] = lambda directory: directory

    def load(self, directory: Path) -> None:
        kept = self._kept / str(len(self._arrived))
        shutil.copytree(directory, kept)
        self._arrived.append(kept)
        chosen = self.fault(directory)
        if chosen is not None:
            self._engine.load(chosen)

    def nothing(self, directory: Path) -> None:
        """Nothing arrives."""

    def half(self, directory: Path) -> Path:
        """One of two layers arrives."""
        # not parts of a layer: vLLM leaves the rest undefined, and NaN would stay in its cache
        (file,) = directory.iterdir()
        some = {name: tensor for name, tensor in load_file(file).items() if ".0." in name}
        save_file(some, file, {"format": "pt"})
        return directory

    def old(self, directory: Path) -> Path:
        """What was sent two synchronisations ago arrives."""
        return self._arrived[-3]


def test_an_update_reaches_the_sampler_and_what_it_cached(engine, model, tmp_path):
    sampler = sampler_with(engine, tmp_path)
    for seed in range(3):
        found = sampler.synchronise(model)
        assert found["logprob/probe_gap"] < 1e-5
        assert gaps(model, drawn(sampler, model), TRUNCATED).max() < 1e-4
        update(model, 0.02, seed)
    assert gaps(model, drawn(sampler, model), TRUNCATED).mean() > 1e-2  # not synchronised yet
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("fault", "size", "named"),
    [
        ("nothing", 0.01, "the synchronisation was skipped"),
        ("nothing", 2e-5, "the synchronisation was skipped"),  # moves far less than the tolerance
        ("half", 0.01, "a part of its weights"),
        ("old", 0.01, "the weights of 2 synchronisations ago"),
    ],
)
def test_a_wrong_exchange_is_named_at_once(engine, model, tmp_path, fault, size, named):
    between = Between(engine, tmp_path / "kept")
    sampler = sampler_with(between, tmp_path / "exchange")
    for seed in range(2):
        sampler.synchronise(model)
        update(model, size, seed)
    between.fault = getattr(between, fault)
    start = perf_counter()
    with pytest.raises(SynchronisationError, match=f"(?i){named}"):
        sampler.synchronise(model)
    what = f"synchronisation: {between.fault.__doc__} Weights had moved by {size:g} each."
    noted(what, perf_counter() - start, f"{named}", "ends, resumes from its last checkpoint")
