"""Small batches written as nested lists; None pads a row."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from jumar.algorithm import Algorithm, compute_signals, policy_loss, reduced_stats
from jumar.types import LossScale, RolloutBatch, TokenBatch

Rows = Sequence[Sequence[float | None]]


def matrix(rows: Rows) -> tuple[Tensor, Tensor]:
    """The numbers as [B, T], and the mask of those that are there."""
    width = max(len(row) for row in rows)
    filled = [[*row, *[None] * (width - len(row))] for row in rows]
    mask = torch.tensor([[x is not None for x in row] for row in filled])
    return torch.tensor([[x or 0.0 for x in row] for row in filled], dtype=torch.float64), mask


def column(value: Any) -> Tensor:
    """[B, T] of lists with None, [B] of numbers or bools; a tensor stays."""
    if isinstance(value, Tensor):
        return value
    if isinstance(value[0], list | tuple):
        return matrix(value)[0]
    if isinstance(value[0], bool):
        return torch.tensor(value)
    return torch.tensor(value, dtype=torch.float64)


def tokens(
    logprobs: Rows | Tensor, *, groups: Sequence[int] | None = None, **columns: Any
) -> TokenBatch:
    """Log-probs as a leaf; `advantages` may be per row; all rows are one group."""
    if isinstance(logprobs, Tensor):
        leaf, mask = logprobs, torch.ones(logprobs.shape, dtype=torch.bool)
    else:
        leaf, mask = matrix(logprobs)
        leaf.requires_grad_()
    made = {name: column(value) for name, value in columns.items() if value is not None}
    if "advantages" in made and made["advantages"].dim() == 1:
        made["advantages"] = made["advantages"][:, None].expand(mask.shape)
    ids = torch.tensor(groups if groups is not None else [0] * len(mask))
    return TokenBatch.build(mask=mask, logprobs=leaf, group_ids=ids, **made)


def rollout(
    rewards: Sequence[float],
    *,
    groups: Sequence[int] | None = None,
    lengths: Sequence[int] | None = None,
    **columns: Any,
) -> RolloutBatch:
    """Rewards of one group by default, each of a response of one token."""
    n = len(rewards)
    long = torch.tensor(lengths or [1] * n)
    ids = torch.tensor(groups if groups is not None else [0] * n)
    given = {
        "mask": torch.arange(int(long.max())) < long[:, None],
        "rewards": column(rewards),
        "correct": column(rewards) > 0.5,
        "truncated": torch.zeros(n, dtype=torch.bool),
        "group_ids": ids,
        "prompt_ids": ids + 100,
        "sample_ids": torch.arange(n),
    }
    scalars = {k: columns.pop(k) for k in ("step", "stage_step", "seed") if k in columns}
    return RolloutBatch.build(**{**given, **{k: column(v) for k, v in columns.items()}}, **scalars)


def advantages(algorithm: Algorithm, batch: RolloutBatch) -> Tensor:
    """[B, T]"""
    signals, _ = compute_signals(algorithm, batch, algorithm.init_state())
    return signals.advantages


def loss_of(algorithm: Algorithm, batch: TokenBatch) -> Tensor:
    """Scalar: the batch as a whole optimiser step."""
    scale = LossScale.of(batch, reduced_stats(algorithm, [batch]))
    return policy_loss(algorithm, batch, scale).loss


def gradient_of(algorithm: Algorithm, batch: TokenBatch) -> Tensor:
    """[B, T]: the slope of the loss in each token's log-prob."""
    leaf = batch.logprobs.detach().clone().requires_grad_()
    (gradient,) = torch.autograd.grad(loss_of(algorithm, batch.with_columns(logprobs=leaf)), leaf)
    return gradient


def near(x: Tensor | float, expected: Any, atol: float = 1e-6) -> None:
    """Equal to hand-worked digits."""
    want = torch.as_tensor(expected, dtype=torch.float64)
    torch.testing.assert_close(torch.as_tensor(x, dtype=torch.float64), want, rtol=0, atol=atol)
