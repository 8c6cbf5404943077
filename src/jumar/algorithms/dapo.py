"""DAPO: GRPO with a higher upper clip, one mean over all tokens, and only groups that can teach.

    A_i = (R_i - mean_g R) / (std_g R + eps)                    kept: groups with 0 < correct < all
    L   = 1/tokens * sum_i sum_t max(-A_i r_t, -A_i clip(r_t, 1 - clip_low, 1 + clip_high))
    R_i = verdict + overlong_coef * clip((limit - cache - |y_i|) / cache, -1, 0)

Paper: Yu et al. 2025, DAPO, arXiv:2503.14476, eq. 13 for the overlong penalty.   Code: https://github.com/verl-project/verl-recipe, dapo.
Departs: the paper's verdict is +-1 and its overlong penalty at most 1; ours is 0 or 1, so overlong_coef = 0.5 gives the same advantages. dual_clip = 10 and the keeping of groups of one are the released recipe's, not the paper's. The unbiased std and eps = 1e-6 are verl's. Truncated responses are penalised, not masked out of the loss.   Elsewhere: TRL's loss type "dapo" is the token mean alone (no dynamic sampling, no dual clip; the penalty is a reward function of its own); verl's overlong penalty has no floor at -1. Another method is called Direct Advantage Policy Optimization.   Changes: keep.
"""

import torch
from torch import Tensor

from jumar.advantages.group import group_normalised
from jumar.algorithm import Algorithm
from jumar.filters import mixed_outcomes
from jumar.pieces import piece
from jumar.surrogates.clipped import clipped_surrogate
from jumar.types import RolloutBatch


def overlong_reward(rollout: RolloutBatch, *, limit: int, cache: int, coef: float) -> Tensor:
    """[B]: reward minus up to `coef` as the length in tokens enters the last `cache` before `limit`."""
    excess = rollout.mask.sum(dim=1).to(rollout.rewards.dtype) - (limit - cache)
    return rollout.rewards - coef * torch.clamp(excess / cache, 0, 1)


def dapo(
    *,
    clip_low: float = 0.2,
    clip_high: float = 0.28,
    dual_clip: float | None = 10.0,
    overlong_limit: int = 20480,
    overlong_cache: int = 4096,
    overlong_coef: float = 0.5,
    eps: float = 1e-6,
) -> Algorithm:
    """Groups that `keep` drops are sampled again, as often as the recipe's `max_refills` allows."""
    return Algorithm(
        name="dapo",
        reward=piece(
            overlong_reward, limit=overlong_limit, cache=overlong_cache, coef=overlong_coef
        ),
        keep=piece(mixed_outcomes),
        advantage=piece(group_normalised, eps=eps),
        surrogate=piece(
            clipped_surrogate, clip_low=clip_low, clip_high=clip_high, dual_clip=dual_clip
        ),
    )
