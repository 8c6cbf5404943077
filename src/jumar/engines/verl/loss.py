"""The loss that verl's workers call once per micro-batch, as jumar's algorithms define it.

verl averages gradients over its data-parallel ranks, so each rank's share of the step's loss is
multiplied by their number, as verl's own losses are.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import jumar
from jumar.aggregates import response_mean, token_mean
from jumar.algorithm import Algorithm, policy_loss
from jumar.engines.verl.columns import tokens_of
from jumar.engines.verl.host import AggregationType, Metric, no_padding_2_padding
from jumar.pieces import piece
from jumar.types import LossScale, Metrics, TokenBatch


@cache
def source_digest() -> str:
    """A hash of jumar's source as this process has it: nodes may differ."""
    root, found = Path(jumar.__file__).parent, hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        found.update(path.read_bytes())
    return found.hexdigest()[:16]


@dataclass(frozen=True, kw_only=True)
class JumarLoss:
    """`policy_loss` of one algorithm, as verl calls a loss; the worker counts the scale."""

    algorithm: Algorithm
    made_by: str  # the source digest of the trainer
    scale: LossScale | None = None

    def __call__(
        self, model_output: dict[str, Tensor], data: Any, dp_group: Any = None
    ) -> tuple[Tensor, dict[str, Metric]]:
        """(loss, metrics) of a micro-batch."""
        assert self.scale is not None  # the worker has counted
        tokens = self.tokens(model_output, data)
        output = policy_loss(self.algorithm, tokens, _placed(self.scale, tokens.mask.device))
        metrics = {**output.metrics}
        if "log_probs" in model_output and "rollout_logprobs" in tokens:
            gap = (tokens.old_logprobs - tokens.rollout_logprobs).abs() * tokens.mask
            metrics["logprob/gap"] = gap.sum(), tokens.mask.sum()
        return output.loss * data["dp_size"], dict(_parts(metrics))

    def tokens(self, model_output: dict[str, Tensor], data: Any) -> TokenBatch:
        """The rows, with what carries a gradient: log-probs, entropy, or the critic's values."""
        made: dict[str, Tensor] = {
            name: no_padding_2_padding(model_output[name], data).float()
            for name in ("values", "entropy")
            if name in model_output
        }
        if "log_probs" in model_output:
            logprobs = no_padding_2_padding(model_output["log_probs"], data).float()
        else:
            logprobs = torch.zeros_like(made["values"])  # the critic's worker has none
        made["old_logprobs"] = logprobs.detach()  # where no pass was needed
        tokens = tokens_of(data, logprobs, **made)
        alive = tokens.mask.any(dim=1).nonzero()[:, 0]
        # what is not trained on belongs to no group; one row stays, for its graph
        return tokens.select(alive if len(alive) else alive.new_zeros(1))


def of_policy(algorithm: Algorithm) -> JumarLoss:
    """What verl's actor trains by."""
    return JumarLoss(algorithm=replace(algorithm, value_loss=None), made_by=source_digest())


def of_critic(algorithm: Algorithm) -> JumarLoss:
    """What verl's critic trains by: the value loss, with the mean that it has in the whole."""
    assert algorithm.value_loss is not None
    by_row = "per_response" in algorithm.value_loss.traits
    value_loss = Algorithm(
        name=f"{algorithm.name}'s critic",
        surrogate=algorithm.value_loss,
        aggregate=piece(response_mean if by_row else token_mean),
    )
    return JumarLoss(algorithm=value_loss, made_by=source_digest())


def _placed(scale: LossScale, device: torch.device) -> LossScale:
    return replace(
        scale,
        tokens=scale.tokens.to(device),
        responses=scale.responses.to(device),
        groups=scale.groups.to(device),
        stats={name: (s.to(device), c.to(device)) for name, (s, c) in scale.stats.items()},
    )


def _parts(metrics: Metrics) -> Iterator[tuple[str, Metric]]:
    """Sum and count apart: verl adds over micro-batches and averages over ranks and steps."""
    for name, (total, count) in metrics.items():
        yield f"jumar/{name}/sum", Metric(AggregationType.SUM, total.detach().float())
        yield f"jumar/{name}/count", Metric(AggregationType.SUM, count.float())


def fold(metrics: dict[str, Any]) -> None:
    """Put in the place of each pair of `_parts` the one number that it stands for."""
    for name in [name for name in metrics if "jumar/" in name and name.endswith("/sum")]:
        total, count = metrics.pop(name), metrics.pop(name.removesuffix("sum") + "count")
        if count:
            metrics[name.removesuffix("/sum")] = total / count
