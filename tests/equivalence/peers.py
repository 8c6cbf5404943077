"""Other people's implementations at pinned versions, and what it means to agree with one."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType

import pytest
import torch
from torch import Tensor

from golden.batch import GROUPS, hashed_rollout, hashed_tokens
from jumar.algorithm import Algorithm, policy_loss, reduced_stats
from jumar.types import LossScale, RolloutBatch, TokenBatch

PINNED = {"trl": "1.16.0", "verl": "0.9.1"}


def peer(module: str) -> ModuleType:
    """A module of a peer; without it a test is skipped aloud, or fails if JUMAR_REQUIRE_PEERS=1."""
    package = module.partition(".")[0]
    try:
        found = version(package)
        if found != PINNED[package]:
            reason = f"{package} is {found}, the formulas were compared with {PINNED[package]}"
        else:
            return import_module(module)
    except (PackageNotFoundError, ImportError) as error:
        reason = f"{package} {PINNED[package]} cannot be imported ({error})"
    message = f"NOT COMPARED WITH {package.upper()}: {reason}. `make test` installs it."
    if os.environ.get("JUMAR_REQUIRE_PEERS") == "1":
        pytest.fail(message, pytrace=False)
    pytest.skip(message)


def batch_of(
    algorithm: Algorithm, groups: tuple[int, ...] = GROUPS, **columns: Tensor
) -> TokenBatch:
    """The hashed rollout with its signals; every row is kept, because peers filter elsewhere."""
    names = {"logprobs", *algorithm.reads, *(d.column for d in algorithm.divergences)}
    rollout = hashed_rollout(groups, sorted(names)).with_columns(**columns)
    return hashed_tokens(algorithm, rollout)


def advantages_of(algorithm: Algorithm, rollout: RolloutBatch) -> Tensor:
    """[B, T]"""
    return hashed_tokens(algorithm, rollout).advantages


@dataclass(frozen=True)
class Compared:
    """One loss and its gradient with respect to the log-probs (or another leaf)."""

    loss: Tensor
    gradient: Tensor


def ours(algorithm: Algorithm, tokens: TokenBatch, leaf: str = "logprobs") -> Compared:
    """What the algorithm gives on these rows as one whole optimiser step."""
    scale = LossScale.of(tokens, reduced_stats(algorithm, [tokens]))
    loss = policy_loss(algorithm, tokens, scale).loss
    (gradient,) = torch.autograd.grad(loss, tokens[leaf])
    return Compared(loss.detach(), gradient)


def theirs(loss: Callable[[Tensor], Tensor], leaf: Tensor) -> Compared:
    """What a peer's loss gives on the same numbers."""
    leaf = leaf.detach().clone().requires_grad_()
    value = loss(leaf)
    (gradient,) = torch.autograd.grad(value, leaf)
    return Compared(value.detach(), gradient)


class Agreement:
    """Asserts that two results are one, and keeps the distance for the table at the end."""

    def __init__(self, record: Callable[[str, object], None]) -> None:
        self.record = record

    def __call__(self, what: str, mine: Compared, other: Compared, *, rtol: float = 1e-12) -> None:
        assert mine.loss.dtype == other.loss.dtype == torch.float64
        assert mine.gradient.any(), "a comparison of zeros shows nothing"
        loss = (mine.loss - other.loss).abs().item()
        gradient = (mine.gradient - other.gradient).abs().max().item()
        self.record("agreement", (what, loss, gradient))
        torch.testing.assert_close(mine.loss, other.loss, rtol=rtol, atol=1e-14)
        torch.testing.assert_close(mine.gradient, other.gradient, rtol=rtol, atol=1e-14)

    def gradients(self, what: str, mine: Tensor, other: Tensor) -> None:
        """Where the two losses differ in value, or one of them is a part of the other."""
        assert mine.any(), "a comparison of zeros shows nothing"
        self.record("agreement", (what, None, (mine - other).abs().max().item()))
        torch.testing.assert_close(mine, other, rtol=1e-12, atol=1e-14)

    def numbers(self, what: str, mine: Tensor, other: Tensor, *, rtol: float = 1e-12) -> None:
        """For advantages, rewards and other columns without a gradient."""
        assert mine.any(), "a comparison of zeros shows nothing"
        self.record("agreement", (what, (mine - other).abs().max().item(), None))
        torch.testing.assert_close(mine, other, rtol=rtol, atol=1e-14)
