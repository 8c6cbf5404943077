"""R9, R10, R13: what every algorithm makes of extreme, empty and tied batches, and of splits."""

import json
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from jumar.algorithm import Algorithm
from jumar.pieces import piece
from jumar.rewards import verifier_reward
from laws.worlds import SUBJECTS, Result, World, run, world
from parity.records import cell, host, stored

from .runs import RECORDS, trained_alone
from .tally import Tally

sys.path.insert(0, str(Path(__file__).parent.parent / "distributed"))
import one_as_two
from launching import HERE, ended, started

LOG_RATIOS = (0.0, 1.0, -1.0, 20.0, -20.0, 88.0, -88.0, 200.0, -200.0)  # nats
DTYPES = (torch.float32, torch.bfloat16)
TIES = (0.1, 1 / 3, 1e-8, 1e8)
SPLITS = 3  # of each algorithm, by seeds
ROUNDING = 1e-6  # relative; of float64 it is far less


def worlds(algorithm: Algorithm, dtype: torch.dtype) -> Iterator[tuple[str, World]]:
    """Batches at the edge, by what is special about them."""
    usual = world(algorithm, dtype=dtype)
    for ratio in LOG_RATIOS:
        others = {
            name: usual.live["logprobs"] - ratio
            for name in usual.rollout
            if name.endswith("logprobs")
        }
        yield f"log-ratio {ratio:g}", usual.with_columns(**others)
    yield "no token", usual.with_columns(mask=torch.zeros_like(usual.rollout["mask"]))
    yield "one token each", world(algorithm, dtype=dtype, length=1)
    yield "groups of one", world(algorithm, dtype=dtype, sizes=(1, 1, 1))
    yield "tied rewards", usual.with_columns(rewards=torch.full_like(usual.rollout["rewards"], 0.1))
    hidden = {
        name: column.masked_fill(~usual.rollout["mask"], torch.nan)
        for name, column in usual.rollout.items()
        if column.is_floating_point() and column.shape == usual.rollout["mask"].shape
    }
    yield "NaN at padding", usual.with_columns(**hidden)


def is_finite(given: World) -> None:
    """Everything that comes out is, and masked tokens get exactly no gradient."""
    result = run(given)
    assert torch.isfinite(result.loss), "the loss"
    for name, gradient in result.gradients.items():
        if gradient is not None:
            assert torch.isfinite(gradient).all(), f"the gradient of {name}"
            assert not gradient[~given.rollout["mask"]].any(), f"{name} at masked tokens"
    for name, (value, _) in result.metrics.items():
        assert torch.isfinite(value), f"the metric {name}"


def finite_gradients() -> tuple[int, int, list[str]]:
    """Every algorithm, with its variants, in float32 and bfloat16, on batches whose log-ratios are
    0, +-1, +-20, +-88 and +-200 nats, without a token, of single tokens, of groups of one, with
    tied rewards and with NaN at padding: it survives where loss, gradients and metrics are finite
    and the gradient at masked tokens is exactly 0.
    """
    tally = Tally()
    for name, algorithm in SUBJECTS.items():
        for dtype in DTYPES:
            for what, given in worlds(algorithm, dtype):
                tally.attempt(f"{name}, {dtype}, {what}", lambda given=given: is_finite(given))
    return tally.result


def is_same(one: Result, other: Result) -> None:
    """To rounding, relative to the largest gradient."""
    for name, gradient in one.gradients.items():
        if gradient is not None:
            scale = gradient.abs().max().clamp(min=1e-12)
            gap = float((gradient - other.gradients[name]).abs().max() / scale)
            assert gap <= ROUNDING, f"the gradient of {name} is {gap:.1e} off"


def is_split(name: str, seed: int) -> None:
    """The pieces' own losses, over random micro-batches."""
    w = world(SUBJECTS[name], seed)
    label = torch.randint(0, 4, (12,), generator=torch.Generator().manual_seed(seed))
    if w.algorithm.unit == "group":
        label = label[w.rollout["group_ids"]]
    is_same(run(w), run(w, [torch.nonzero(label == part)[:, 0] for part in label.unique()]))


def is_split_by_the_engine(name: str) -> None:
    """A step of the local engine in two micro-batches and in as many as it has rows or groups."""
    found = cell(name, host("local"))
    assert "reason" in found or max(found.values()) <= ROUNDING, found


def by_processes() -> dict[str, dict[str, Any]]:
    """Differences between one process and two, and two with dealt weights, for every algorithm."""
    others = {name: _case(name) for name in trained_alone() if name not in one_as_two.CASES}
    with tempfile.TemporaryDirectory() as place:
        for name, seed in (("model", 0), ("other", 1)):
            one_as_two.letters.write_model(Path(place) / name, seed=seed)
        command = [str(HERE / "one_as_two.py"), place, json.dumps(others)]
        for process in ended(started(command, 2), seconds=7200):
            assert process.code == 0, process.said[-2000:]
        found = json.loads((Path(place) / "found-0.json").read_text())
    return {
        f"{way}: {name}": gaps for way in ("dealt", "sharded") for name, gaps in found[way].items()
    }


def _case(name: str) -> dict[str, Any]:
    record = RECORDS[name]
    return {
        **({"optimiser": {"minibatches": 1}} if record.batch_stats else {}),
        **({"rollout": {"source": "dataset"}} if record.rows == "stored" else {}),
    }


def split_invariance() -> tuple[int, int, list[str]]:
    """The gradient of a step, in float64, is the same to 1e-6 of its largest entry for every
    algorithm: over random micro-batches of its pieces, over the engine's own splits of a step, and
    over two processes (gloo), with whole weights and with weights dealt by FSDP2.
    """
    tally = Tally()
    for name in SUBJECTS:
        for seed in range(SPLITS):
            tally.attempt(f"{name}, split {seed}", lambda n=name, s=seed: is_split(n, s))
    for name in stored("local")["cells"]:
        tally.attempt(f"{name} in the engine", lambda name=name: is_split_by_the_engine(name))
    if Tally.every == 1:
        for name, gaps in by_processes().items():
            tally.attempt(name, lambda gaps=gaps: _is_near(gaps))
    return tally.result


def _is_near(gaps: dict[str, Any]) -> None:
    assert max(gaps["gradients"], gaps["weights"], gaps["state"]) <= ROUNDING, gaps
    assert gaps["rollouts"], "other rollouts"


def gives_nothing(algorithm: Algorithm, reward: float, dtype: torch.dtype) -> None:
    """Advantages of tied rewards, in the first rollout and in the second of the same prompts."""
    plain = replace(algorithm, reward=piece(verifier_reward))
    w = world(plain, dtype=dtype)
    tied = w.with_columns(rewards=torch.full_like(w.rollout["rewards"], reward))
    state = w.signals_and_state()[1]
    assert not tied.signals(state).advantages.any(), "an advantage"


def tied_groups() -> tuple[int, int, list[str]]:
    """Groups whose rewards are all 0.1, 1/3, 1e-8 or 1e8, in float32, bfloat16 and float64, under
    every algorithm that promises to centre by group: the advantage is exactly 0.
    """
    tally = Tally()
    for name, algorithm in SUBJECTS.items():
        if "group_centred" in algorithm.traits:
            for dtype in (torch.float64, *DTYPES):
                for reward in TIES:
                    tally.attempt(
                        f"{name}, {dtype}, {reward:g}",
                        lambda a=algorithm, r=reward, d=dtype: gives_nothing(a, r, d),
                    )
    return tally.result


FIGURES = {"R9": finite_gradients, "R10": split_invariance, "R13": tied_groups}
