"""One rollout made of hashes, the same on every machine and under every version of torch."""

import hashlib
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from jumar.algorithm import Algorithm, compute_signals
from jumar.types import COLUMNS, GRADIENT_COLUMNS, RolloutBatch, TokenBatch

GROUPS = (4, 4, 3, 2, 1)
PAIRS = (2, 2, 2, 2, 2, 2)
LENGTH = 7
VOCABULARY = 11


def uniform(name: str, rows: int, columns: int | None = None) -> Tensor:
    """[rows] or [rows, columns] float64 in [0, 1): a hash of the name and the position."""

    def draw(*position: int) -> float:
        digest = hashlib.blake2b(f"{name} {position}".encode(), digest_size=4).digest()
        return int.from_bytes(digest) / 2**32

    if columns is None:
        numbers: list = [draw(i) for i in range(rows)]
    else:
        numbers = [[draw(i, j) for j in range(columns)] for i in range(rows)]
    return torch.tensor(numbers, dtype=torch.float64)


def hashed_mask(rows: int) -> Tensor:
    """[rows, LENGTH] bool: every length occurs, and some responses have a tool's output inside."""
    lengths = 1 + torch.arange(rows) * 3 % LENGTH
    before_end = torch.arange(LENGTH)[None, :] < lengths[:, None] - 1
    last = torch.arange(LENGTH)[None, :] == lengths[:, None] - 1
    return (before_end & (uniform("tool", rows, LENGTH) > 0.1)) | last


def hashed_logprobs(name: str, old: Tensor) -> Tensor:
    """[B, T] nats: mostly near `old`, with tokens that left every clip range on either side."""
    u = uniform(name, *old.shape)
    near = 0.6 * (2 * u - 1)
    far = torch.where(uniform(f"{name} direction", *old.shape) < 0.5, -3.0, 2.9)
    return old + torch.where(uniform(f"{name} far", *old.shape) < 0.2, far + near, near)


def hashed_column(name: str, old: Tensor) -> Tensor:
    """A column of the given name: nats where it is a log-prob, a small number elsewhere."""
    if name.endswith("logprobs"):
        return old if name == "old_logprobs" else hashed_logprobs(name, old)
    shape = COLUMNS[name].shape if name in COLUMNS else "BT"
    if shape == "BK":
        return (3 * uniform(name, len(old), 3)).floor() / 2
    column = uniform(name, *old.shape[: len(shape)])
    whole = name in COLUMNS and COLUMNS[name].meaning.startswith("int")
    return (3 * column).long() if whole else column


def hashed_rollout(groups: Sequence[int] = GROUPS, columns: Iterable[str] = ()) -> RolloutBatch:
    """Groups of these sizes with mixed, tied and fractional rewards, and further columns.

    `logprobs`, `values` and divergences are among those that may be asked for.
    """
    rows = sum(groups)
    group_ids = torch.repeat_interleave(torch.arange(len(groups)), torch.tensor(groups))
    quarters = (uniform("score", rows) * 5).floor() / 4
    scores = torch.where(group_ids == 1, 1.0, quarters).double()
    old = -4.0 - 4 * uniform("old", rows, LENGTH)
    return RolloutBatch.build(
        step=3, stage_step=3, seed=5,
        mask=hashed_mask(rows),
        token_ids=(uniform("token", rows, LENGTH) * VOCABULARY).long(),
        truncated=uniform("truncated", rows) < 0.2,
        scores=scores,
        rewards=scores,
        correct=scores == 1,
        group_ids=group_ids * 7 % 11,
        prompt_ids=1000 + group_ids,
        sample_ids=torch.cat([torch.arange(n) for n in groups]),
        **{name: hashed_column(name, old) for name in columns},
    )  # fmt: skip


def hashed_tokens(algorithm: Algorithm, rollout: RolloutBatch) -> TokenBatch:
    """The rollout as one micro-batch: signals made, and leaves where a gradient is wanted."""
    signals, _ = compute_signals(algorithm, rollout, algorithm.init_state())
    columns = {**rollout.columns, **signals.columns, "advantages": signals.advantages}
    wanted = GRADIENT_COLUMNS | {d.column for d in algorithm.divergences}
    for name in wanted & columns.keys():
        columns[name] = columns[name].clone().requires_grad_()
    return TokenBatch(
        columns=columns, step=rollout.step, stage_step=rollout.stage_step, seed=rollout.seed
    )


def hashed_kept(algorithm: Algorithm, groups: Sequence[int] = GROUPS) -> RolloutBatch:
    """The rows that this algorithm trains on, with the columns that it reads."""
    columns = {"logprobs", *algorithm.reads, *(d.column for d in algorithm.divergences)}
    rollout = hashed_rollout(groups, sorted(columns))
    return rollout.select(algorithm.keep(rollout))
