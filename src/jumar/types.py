"""The tensors that everything speaks about: what each is called, its shape, its meaning, its unit.

B rows are responses, T positions are response tokens, padded on the right. A batch is a set of
named columns and three scalars; it is built through one door (`build`) that checks every column
and fills masked positions with 0, because masking later lets a NaN of the padding into gradients.

    RolloutBatch   one whole rollout: groups complete, no gradient anywhere
    TokenBatch     some rows of it, with `logprobs` that carry the gradient, and `advantages`
    Signals        what an algorithm made of the rollout: `advantages` and further columns
    LossScale      what a loss is divided by: counts over the whole optimiser step
    LossOutput     a loss to minimise, and its metrics as (sum, count)
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor

from jumar.errors import MissingColumnError, ShapeError

Metrics = Mapping[str, tuple[Tensor, Tensor]]
State = Mapping[str, Tensor]


class Column(NamedTuple):
    """One row of the table of columns; BK is responses by parts, as many as the task has."""

    shape: str
    meaning: str


COLUMNS: Mapping[str, Column] = {
    # always there
    "token_ids": Column("BT", "what was sampled"),
    "mask": Column("BT", "bool: tokens the policy itself produced, its EOS included"),
    "truncated": Column("B", "bool: cut at the length limit"),
    "scores": Column("B", "what the verifier gave"),
    "correct": Column("B", "bool: the task's full mark on the extracted answer"),
    "rewards": Column("B", "what is learned from: `correct`, or scores where asked; then shaped"),
    "group_ids": Column("B", "int: same prompt within this batch, any order, any size"),
    "prompt_ids": Column("B", "int: content hash of the prompt, stable across runs"),
    "sample_ids": Column("B", "int: which of its prompt's responses; with prompt_ids names a row"),
    # made on the way
    "token_rewards": Column("BT", "the shaped reward per token; one number sits on the last token"),
    "advantages": Column("BT", "how much better than expected; the sign is the verifier's verdict"),
    "logprobs": Column("BT", "nats, current policy, with gradient"),
    # optional, declared by the pieces that read them
    "old_logprobs": Column("BT", "nats, trainer, before its first update on this rollout"),
    "rollout_logprobs": Column("BT", "nats, as the sampler reported them: the behaviour policy"),
    "ref_logprobs": Column("BT", "nats, the anchor"),
    "teacher_logprobs": Column("BT", "nats, the teacher, already routed row by row"),
    "teacher_ids": Column("B", "int: which of several teachers the prompt has"),
    "values": Column("BT", "the critic's expected return, with gradient"),
    "old_entropies": Column(
        "BT", "nats, of the next-token distribution, when old_logprobs were made"
    ),
    "answer_ids": Column("B", "int: hash of the extracted answer; equal where the answers are"),
    "reward_parts": Column("BK", "each part of the score, unweighted; NaN where it has none"),
    "cut_values": Column("BT", "share of right responses from before the token; NaN: not a cut"),
    "old_values": Column("BT", "the critic before its first update on this rollout"),
    "returns": Column("BT", "what the critic is fitted to"),
    "optimal_values": Column("B", "V*: the best value that the reference's samples allow"),
    "baseline_rewards": Column("B", "the reward of a baseline response to the same prompt"),
    "budgets": Column("B", "tokens that the prompt's prefill announced; 0: it named no budget"),
    "tool_calls": Column("B", "int: how often the response used a tool"),
    "position_spread": Column("BT", "nats: how far the group's distributions are apart here"),
    "position_weights": Column("BT", "what a token at this position of its group counts"),
    "prompt_advantages": Column("B", "how much better the prompt fares than others; COPO's"),
    "local_share": Column(
        "B", "in [0, 1]: how much of COPO's loss the response's own advantage is"
    ),
    "active": Column("B", "bool: takes part in OWPO's reweighting"),
    "filter_weights": Column("B", "what PF-PPO's filter lets the response count, 1 on average"),
    "signal": Column("BT", "nats: log-ratio of two frozen policies, stored; what ERPD distils"),
    "signal_std": Column("B", "nats: the signal's spread over the batch, the same for every row"),
}

CORE_COLUMNS = (
    "token_ids", "mask", "truncated", "scores", "correct",
    "rewards", "group_ids", "prompt_ids", "sample_ids",
)  # fmt: skip
PROVIDED = frozenset({*CORE_COLUMNS, "token_rewards", "advantages", "logprobs"})
GRADIENT_COLUMNS = frozenset({"logprobs", "values"})  # and the requested divergences


def _clean_columns(columns: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Check shapes and kinds, and fill masked positions of `[B, T]` columns with 0."""
    mask = columns["mask"]
    if mask.dim() != 2 or mask.dtype != torch.bool:
        raise ShapeError(
            f"`mask` is {mask.dtype} of shape {list(mask.shape)}, but batches need a bool mask of "
            "shape [B, T]. It says which tokens the policy produced. Pass `mask.bool()`."
        )
    clean = {}
    for name, column in columns.items():
        shape = COLUMNS[name].shape if name in COLUMNS else "BT"[: column.dim()]
        wanted = mask.shape[: len(shape)] if shape != "BK" else (len(mask), *column.shape[1:2])
        if column.shape != wanted:
            raise ShapeError(
                f"column `{name}` has shape {list(column.shape)}, but this batch needs "
                f"{list(wanted)} ({'responses by tokens' if shape == 'BT' else 'one per response'})"
                ". A silent broadcast would train on wrong numbers. Reshape or pad it first."
            )
        clean[name] = column.masked_fill(~mask, 0) if shape == "BT" else column
    return clean


@dataclass(frozen=True, slots=True, kw_only=True)
class Continuations:
    """A request for the worth of prefixes, which the engine answers as the column `cut_values`.

    From every `interval`-th token whose probability was below `p_max`, `samples` fresh responses.
    """

    samples: int
    interval: int
    p_max: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Named columns of B responses; a column is an attribute: `batch.rewards`."""

    columns: Mapping[str, Tensor]
    step: int = 0  # rollouts of the run before this one; optimiser steps are the engine's affair
    stage_step: int = 0  # the same, since the current stage of a program began
    seed: int = 0
    stats: Mapping[str, tuple[Tensor, Tensor]] = field(default_factory=dict)

    @classmethod
    def build(cls, *, step: int = 0, stage_step: int = 0, seed: int = 0, **columns: Tensor) -> Self:
        """The one door: a batch whose columns are checked, and 0 where masked."""
        clean = _clean_columns(columns)
        return cls(columns=clean, step=step, stage_step=stage_step, seed=seed)

    def __getattr__(self, name: str) -> Tensor:
        """A column by its name."""
        if name.startswith("_"):
            raise AttributeError(name)
        return self[name]

    def __getitem__(self, name: str) -> Tensor:
        if name not in self.columns:
            meaning = f" ({COLUMNS[name].meaning})" if name in COLUMNS else ""
            raise MissingColumnError(
                f"column `{name}`{meaning} is not in this batch, which has "
                f"{', '.join(sorted(self.columns))}. Declare it with @reads({name!r}) on the piece "
                "that uses it, so that the engine provides it or refuses before step 0."
            )
        return self.columns[name]

    def __contains__(self, name: object) -> bool:
        return name in self.columns

    def __len__(self) -> int:
        return len(self.columns["mask"])

    def __getstate__(self) -> Any:
        return {f: getattr(self, f) for f in ("columns", "step", "stage_step", "seed", "stats")}

    def __setstate__(self, state: Any) -> None:
        for name, value in state.items():
            object.__setattr__(self, name, value)

    def with_columns(self, **columns: Tensor) -> Self:
        """The same rows with columns added or replaced."""
        known = {"mask": self.columns["mask"], **columns}
        return replace(self, columns={**self.columns, **_clean_columns(known)})

    def select(self, rows: Tensor) -> Self:
        """The rows of an index or a bool mask, in that order."""
        return replace(self, columns={name: c[rows] for name, c in self.columns.items()})


class RolloutBatch(Batch):
    """A whole rollout: every group complete, no gradient."""

    __slots__ = ()

    @classmethod
    def concat(cls, batches: Sequence[Self]) -> Self:
        """The rows of several batches of one step; padded to the longest; columns in common."""
        names = [n for n in batches[0].columns if all(n in b for b in batches)]
        columns = {n: torch.cat(_padded([b[n] for b in batches], n)) for n in names}
        return replace(batches[0], columns=columns)


class TokenBatch(Batch):
    """Rows of a rollout with `advantages`, and `logprobs` that carry the gradient."""

    __slots__ = ()


def _padded(columns: list[Tensor], name: str) -> list[Tensor]:
    if columns[0].dim() == 1:
        return columns
    widest = max(column.shape[1] for column in columns)
    nothing = torch.nan if name in COLUMNS and COLUMNS[name].shape == "BK" else 0
    pad = torch.nn.functional.pad
    return [pad(c, (0, widest - c.shape[1]), value=nothing) for c in columns]


@dataclass(frozen=True, slots=True, kw_only=True)
class Signals:
    """What an algorithm made of a rollout: no gradient, and 0 where masked.

    `advantages` is [B, T], or [B] for one number per response. `columns` are further signals that
    the token pieces read by name: returns, OWPO's active rows, a routing between losses.
    """

    advantages: Tensor
    columns: Mapping[str, Tensor] = field(default_factory=dict)
    metrics: Metrics = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class LossScale:
    """Counts over one whole optimiser step: all micro-batches, all ranks, after `keep`.

    Every aggregate divides by these and never by its own micro-batch, so losses and gradients of
    micro-batches add up to those of the whole. Responses without a single token are not counted.
    `stats` are the algorithm's `batch_stats`, reduced: name -> (sum, count).
    """

    tokens: Tensor
    responses: Tensor
    groups: Tensor
    step: int = 0
    stage_step: int = 0
    stats: Metrics = field(default_factory=dict)

    @classmethod
    def of(cls, batch: Batch, stats: Metrics | None = None) -> Self:
        """The counts of a batch that is a whole optimiser step."""
        alive = batch.mask.any(dim=1)
        return cls(
            tokens=batch.mask.sum(),
            responses=alive.sum(),
            groups=torch.tensor(len(torch.unique(batch.group_ids[alive])), device=alive.device),
            step=batch.step,
            stage_step=batch.stage_step,
            stats=stats or {},
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LossOutput:
    """A scalar to minimise, with gradient; metrics are detached (sum, count) pairs that add up."""

    loss: Tensor
    metrics: Metrics


def sum_metrics(parts: Iterable[Metrics]) -> dict[str, tuple[Tensor, Tensor]]:
    """Metrics of micro-batches or ranks, added by name."""
    total: dict[str, tuple[Tensor, Tensor]] = {}
    for metrics in parts:
        for name, (value, count) in metrics.items():
            before = total.get(name)
            total[name] = (
                (value, count) if before is None else (before[0] + value, before[1] + count)
            )
    return total
