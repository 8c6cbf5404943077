"""OWPO: the verifier chooses the direction of each update, the reference policy only its size.

    lead = sign(A) * (log pi - log pi_ref)           > 0: ahead of the reference, < 0: behind it
    w    = sg(clip(exp(-lead), w_min, w_max))                   L = w * clipped surrogate of DAPO

Paper: One-Way Policy Optimization for Self-Evolving LLMs, arXiv:2605.22156, eq. 5-7.   Code: none released.
Departs: the range [w_min, w_max] of App. B.4 and the counts of active samples of sec. 3.2 are not in our copy of the paper; 0.5, 2.0 and "all" are ours, and so are the reading that inactive samples train as plain DAPO and the draw that picks them. Everything else, dual clip and overlong reward too, is our `dapo`.   Elsewhere: absent from TRL and verl; RLSD's weight has the same form around a teacher.   Changes: token_weight.
"""

from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor

from jumar.algorithm import Algorithm
from jumar.algorithms.dapo import dapo
from jumar.ops.draws import row_uniform
from jumar.ops.group import group_rank
from jumar.pieces import Piece, makes, piece, reads
from jumar.schedules import Schedule, value_at
from jumar.types import RolloutBatch, Signals, State, TokenBatch
from jumar.weights.one_way import lead_weight

Variant = Literal["full", "no_asymmetry", "no_locking", "no_acceleration"]


@reads("ref_logprobs", "{policy}", "active")
def one_way_weight(
    tokens: TokenBatch, *, w_min: float, w_max: float, policy: str, variant: Variant
) -> Tensor:
    """[B, T]: above 1 where the policy trails its reference, below 1 where it leads, always > 0."""
    deviation = (tokens[policy] - tokens.ref_logprobs).detach()
    lead = deviation.abs() if variant == "no_asymmetry" else tokens.advantages.sign() * deviation
    low = 1.0 if variant == "no_locking" else w_min
    high = 1.0 if variant == "no_acceleration" else w_max
    return torch.where(tokens.active[:, None], lead_weight(lead, low, high), 1.0)


@makes("active")
def with_active_samples(
    rollout: RolloutBatch, state: State, *, advantage: Piece, count: int | Schedule | None
) -> tuple[Signals, State]:
    """Adds `active`: `count` rows of each group, drawn anew at each step; all of them where None."""
    signals, state = advantage(rollout, state)
    active = torch.ones_like(rollout.truncated)
    if count is not None:
        limit = value_at(count, step=rollout.step, stage_step=rollout.stage_step)
        draw = row_uniform(rollout.seed, rollout.step, rollout.prompt_ids, rollout.sample_ids)
        active = group_rank(draw, rollout.group_ids) < round(limit)
    return replace(signals, columns={**signals.columns, "active": active}), state


def owpo(
    *,
    w_min: float = 0.5,
    w_max: float = 2.0,
    policy: Literal["logprobs", "old_logprobs"] = "logprobs",
    active_samples: int | Schedule | None = None,
    variant: Variant = "full",
    clip_low: float = 0.2,
    clip_high: float = 0.28,
    overlong_limit: int = 20480,
    overlong_cache: int = 4096,
) -> Algorithm:
    """DAPO with a one-way weight; `programs/ratchet.py` renews the reference.

    `policy` is the log-prob in the deviation: the current one moves within a rollout's updates.
    `active_samples` may be a schedule on "stage_step", which starts again at each swap. The
    ablations are variants: no_asymmetry damps every deviation, no_locking lifts weights below 1
    to 1, no_acceleration lowers weights above 1 to 1.
    """
    plain = dapo(
        clip_low=clip_low,
        clip_high=clip_high,
        overlong_limit=overlong_limit,
        overlong_cache=overlong_cache,
    )
    return replace(
        plain,
        name="owpo",
        advantage=piece(with_active_samples, advantage=plain.advantage, count=active_samples),
        token_weight=piece(
            one_way_weight, w_min=w_min, w_max=w_max, policy=policy, variant=variant
        ),
    )
