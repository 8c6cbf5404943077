"""`compute_signals` over one rollout of verl's, as fields that go to the workers."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from jumar.algorithm import Algorithm, compute_signals
from jumar.engines.verl.columns import OWN, fields_of
from jumar.types import RolloutBatch, State


def with_signals(
    algorithm: Algorithm, batch: RolloutBatch, rows: Tensor, state: State
) -> tuple[RolloutBatch, Tensor, State, dict[str, float]]:
    """What `keep` keeps of those rows, with signals; the rows; the new state; and metrics.

    Where nothing is kept, one row without a token stands for all: its columns are still wanted.
    """
    kept = rows[algorithm.keep(batch.select(rows))]
    share = {"jumar/kept": len(kept) / max(len(rows), 1)}
    if not len(kept):
        nothing = batch.with_columns(mask=torch.zeros_like(batch.mask)).select(rows[:1])
        made, _, _ = _signalled(algorithm, nothing, state)
        return made, rows[:1], state, share
    made, state, metrics = _signalled(algorithm, batch.select(kept), state)
    return made, kept, state, share | metrics


def signal_fields(batch: RolloutBatch, rows: Tensor, lengths: Tensor) -> dict[str, Tensor]:
    """Ours, and the two that verl makes metrics of."""
    fields = fields_of(batch, rows, lengths)
    fields["advantages"] = fields[f"{OWN}advantages"]
    fields["returns"] = fields.get(f"{OWN}returns", fields["advantages"])
    return fields


def real_rows(tags: Sequence[dict[str, Any]]) -> Tensor:
    """Places of the rows that were sampled; verl fills a batch up with others."""
    return torch.tensor([not tag.get("is_padding", False) for tag in tags]).nonzero()[:, 0]


def _signalled(
    algorithm: Algorithm, batch: RolloutBatch, state: State
) -> tuple[RolloutBatch, State, dict[str, float]]:
    signals, state = compute_signals(algorithm, batch, state)
    found = batch.with_columns(**signals.columns, advantages=signals.advantages)
    metrics = {f"jumar/{n}": float(s / c) for n, (s, c) in signals.metrics.items() if c}
    return found, state, metrics
