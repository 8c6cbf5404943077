"""The whole theory: an algorithm is a record of functions, and two verbs run it.

    loss = aggregate( token_weight * surrogate ) + sum_k coef_k * aggregate_k( penalty_k )

Each word is a slot. The advantage is made once per rollout, from whole groups; the other words see
some rows at a time and never another row, so the split into micro-batches cannot change a result:

    rollout     reward, keep, advantage               `compute_signals`, once per rollout
    step        batch_stats                           reduced over the optimiser step, no gradient
    rows        token_weight, surrogate, penalties    `policy_loss`, once per micro-batch

Wider scope is computed earlier. A loss that needs its whole row or its whole group says so in
`unit`, and the engine keeps those rows together or refuses. GRPO is `advantage` and `surrogate`;
DAPO adds `keep`, `reward` and another `aggregate`; OWPO adds one `token_weight` to DAPO.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Literal

import torch
from torch import Tensor

from jumar.advantages.none import no_advantage
from jumar.aggregates import response_mean, token_mean
from jumar.errors import ShapeError
from jumar.filters import keep_all
from jumar.ops.divergence import Divergence
from jumar.ops.masked import at_last_token, spread
from jumar.pieces import Piece, piece
from jumar.rewards import verifier_reward
from jumar.schedules import Schedule, value_at
from jumar.types import (
    GRADIENT_COLUMNS,
    PROVIDED,
    Continuations,
    LossOutput,
    LossScale,
    Metrics,
    RolloutBatch,
    Signals,
    State,
    TokenBatch,
    sum_metrics,
)
from jumar.weights.unit import unit_weight


def no_state() -> State:
    """Nothing survives from one rollout to the next."""
    return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Penalty:
    """A term added to the loss: coefficient times aggregate of a [B, T] or [B] piece."""

    name: str
    coef: float | Schedule
    piece: Piece
    aggregate: Piece | None = None  # the algorithm's own where None


@dataclass(frozen=True, slots=True, kw_only=True)
class Algorithm:
    """A training method as data: made by a keyword-only factory whose defaults are the paper's."""

    name: str
    surrogate: Piece  # TokenBatch -> [B, T] or [B], the loss to minimise
    advantage: Piece = piece(no_advantage)  # (RolloutBatch, state) -> (Signals, state)
    init_state: Piece = piece(no_state)  # () -> dict of tensors that the engine checkpoints
    reward: Piece = piece(verifier_reward)  # RolloutBatch -> [B] or [B, T]
    keep: Piece = piece(keep_all)  # RolloutBatch -> bool [B]: what is trained on
    token_weight: Piece = piece(unit_weight)  # TokenBatch -> [B, T], detached
    penalties: tuple[Penalty, ...] = ()
    aggregate: Piece = piece(token_mean)  # (loss, TokenBatch, LossScale) -> scalar
    value_loss: Piece | None = None  # TokenBatch -> [B, T] or [B]: there is a critic
    batch_stats: Piece | None = None  # TokenBatch -> {name: (sum, count)}
    unit: Literal["token", "response", "group"] = "token"  # what stays in one micro-batch
    rows: Literal["sampled", "stored"] = "sampled"  # stored: responses or pairs of a data set

    def pieces(self) -> Iterator[Piece]:
        """Every piece, those inside settings too."""
        slots = [getattr(self, field.name) for field in fields(self)]
        found = [slot for slot in slots if isinstance(slot, Piece)]
        found += [p for penalty in self.penalties for p in (penalty.piece, penalty.aggregate) if p]
        while found:
            current = found.pop(0)
            yield current
            found += current.inner()

    @property
    def reads(self) -> frozenset[str]:
        """The optional columns that the engine must provide."""
        made = {divergence.column for divergence in self.divergences}
        return frozenset().union(*(p.reads for p in self.pieces())) - made - self.makes - PROVIDED

    @property
    def makes(self) -> frozenset[str]:
        """The optional columns that the algorithm's own advantage provides as signals."""
        return self.advantage.makes

    @property
    def divergences(self) -> tuple[Divergence, ...]:
        """The terms over the whole vocabulary that the engine must compute with gradient."""
        values = [value for p in self.pieces() for _, value in p.settings]
        return tuple(dict.fromkeys(v for v in values if isinstance(v, Divergence)))

    @property
    def continuations(self) -> Continuations | None:
        """Where the engine must sample anew from inside responses, if anywhere."""
        values = (value for p in self.pieces() for _, value in p.settings)
        return next((value for value in values if isinstance(value, Continuations)), None)

    @property
    def traits(self) -> frozenset[str]:
        """The conditional laws that all of it promises to keep."""
        return self.advantage.traits | self.surrogate.traits


def compute_signals(
    algorithm: Algorithm, rollout: RolloutBatch, state: State
) -> tuple[Signals, State]:
    """Once per rollout, after `keep`: shape the reward, then make advantages and further columns.

    The signals hold everything that the token pieces need besides the rollout: `advantages` [B, T],
    the shaped `rewards` [B] and `token_rewards` [B, T], and what the advantage added.
    """
    with torch.no_grad():
        shaped = algorithm.reward(rollout)
        per_token = shaped.dim() == 2
        rewards = {
            "rewards": shaped.sum(dim=1) if per_token else shaped,
            "token_rewards": shaped if per_token else at_last_token(shaped, rollout.mask),
        }
        signals, state = algorithm.advantage(rollout.with_columns(**rewards), state)
        advantages = spread(signals.advantages, rollout.mask)
    columns = {**rewards, **signals.columns}
    return Signals(advantages=advantages, columns=columns, metrics=signals.metrics), state


def policy_loss(algorithm: Algorithm, tokens: TokenBatch, scale: LossScale) -> LossOutput:
    """The share of these rows in the loss of the whole optimiser step."""
    carry = GRADIENT_COLUMNS | {divergence.column for divergence in algorithm.divergences}
    columns = {n: c if n in carry else c.detach() for n, c in tokens.columns.items()}
    tokens = replace(
        tokens, columns=columns, step=scale.step, stage_step=scale.stage_step, stats=scale.stats
    )
    losses = algorithm.surrogate(tokens)
    weight = algorithm.token_weight(tokens).detach()
    if losses.dim() == 1 and algorithm.token_weight.fn is not unit_weight:
        raise ShapeError(
            f"`{algorithm.name}` has a loss per response, [B], and weights tokens by "
            f"{algorithm.token_weight}. A weight per token has nothing to multiply there. "
            "Leave token_weight out or choose a surrogate per token."
        )
    weighted = losses if losses.dim() == 1 else losses * weight
    loss = algorithm.aggregate(weighted, tokens, scale)
    metrics: dict[str, tuple[Tensor, Tensor]] = {"surrogate": _counted(losses, tokens)}
    if algorithm.token_weight.fn is not unit_weight:
        metrics["weight"] = _counted(weight, tokens)
        metrics["weight_above_1"] = _counted((weight > 1).to(weight.dtype), tokens)
    for penalty in algorithm.penalties:
        values = penalty.piece(tokens)
        coef = value_at(penalty.coef, step=scale.step, stage_step=scale.stage_step)
        loss = loss + coef * (penalty.aggregate or algorithm.aggregate)(values, tokens, scale)
        metrics[penalty.name] = _counted(values, tokens)
    if algorithm.value_loss is not None:
        values = algorithm.value_loss(tokens)
        mean = token_mean if values.dim() == 2 else response_mean
        loss = loss + mean(values, tokens, scale)
        metrics["value_loss"] = _counted(values, tokens)
    return LossOutput(loss=loss, metrics=metrics)


def _counted(values: Tensor, tokens: TokenBatch) -> tuple[Tensor, Tensor]:
    """(sum, count) of one number per token or per response."""
    alive = tokens.mask if values.dim() == 2 else tokens.mask.any(dim=1)
    return values.detach().masked_fill(~alive, 0).sum(), alive.sum()


def reduced_stats(algorithm: Algorithm, micro_batches: list[TokenBatch]) -> Metrics:
    """`batch_stats` over the micro-batches of one optimiser step, added up."""
    if algorithm.batch_stats is None:
        return {}
    with torch.no_grad():
        return sum_metrics(algorithm.batch_stats(tokens) for tokens in micro_batches)
