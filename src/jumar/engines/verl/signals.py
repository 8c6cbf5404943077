"""`compute_signals` over one rollout of verl's, as fields that go to the workers."""

from collections.abc import Collection, Sequence
from typing import Any

import torch
from torch import Tensor

from jumar.algorithm import Algorithm, compute_signals
from jumar.engines.verl.columns import FIELDS, OWN, fields_of
from jumar.types import RolloutBatch, State


def with_signals(
    algorithm: Algorithm, batch: RolloutBatch, state: State
) -> tuple[RolloutBatch, Tensor, State, dict[str, float]]:
    """What `keep` keeps of the batch, with signals; its rows; the new state; and metrics.

    Where nothing is kept, one row without a token stands for all: its columns are still wanted.
    """
    rows = algorithm.keep(batch).nonzero()[:, 0]
    share = {"jumar/kept": len(rows) / len(batch)}
    if not len(rows):
        rows = rows.new_zeros(1)
        nothing = batch.with_columns(mask=torch.zeros_like(batch.mask)).select(rows)
        made, _, _ = _signalled(algorithm, nothing, state)
        return made, rows, state, share
    made, state, metrics = _signalled(algorithm, batch.select(rows), state)
    return made, rows, state, share | metrics


def signal_fields(
    batch: RolloutBatch, rows: Tensor, lengths: Tensor, *, there: Collection[str] = tuple(FIELDS)
) -> dict[str, Tensor]:
    """Ours, and the two that verl makes metrics of."""
    fields = fields_of(batch, rows, lengths, there=there)
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
