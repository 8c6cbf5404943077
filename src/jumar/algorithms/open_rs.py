"""Open-RS: right answers earn more the shorter they are, wrong ones lose less the longer they are.

    s   = (1 + cos(pi * min(|y_i| / limit, 1))) / 2                         1 at length 0, 0 at the limit
    R_i = right_long + (right_short - right_long) s     where right
          wrong_long + (wrong_short - wrong_long) s     where wrong         A, L as GRPO's

Paper: Dang and Ngo 2025, Reinforcement Learning for Reasoning in Small LLMs: What Works and What Doesn't, arXiv:2503.16219.   Code: https://github.com/knoveleng/open-rs, src/open_r1/rewards.py.
Departs: the values are the defaults of their reward function; their script passes others, from 0 for a short wrong answer to -0.5 for a long one, and 1000 characters. Here lengths are in tokens, limit = 3584 is their response limit, and beyond it the value stays, where their cosine turns back. Their reward for the format (weight 1 beside 2) is the verifier's affair, and a common factor changes no advantage. kl_coef = 0.04 is GRPO's, theirs is TRL's default.   Elsewhere: TRL's get_cosine_scaled_reward, by tokens too; absent from verl.   Changes: reward.
"""

import math
from dataclasses import replace

import torch
from torch import Tensor

from jumar.algorithm import Algorithm
from jumar.algorithms.grpo import grpo
from jumar.pieces import piece
from jumar.schedules import Schedule
from jumar.types import RolloutBatch


def cosine_reward(
    rollout: RolloutBatch,
    *,
    limit: int,
    right_short: float,
    right_long: float,
    wrong_short: float,
    wrong_long: float,
) -> Tensor:
    """[B]: from the "short" value to the "long" one along half a cosine of the length in tokens."""
    progress = (rollout.mask.sum(dim=1).to(rollout.rewards) / limit).clamp(max=1)
    short = (1 + torch.cos(math.pi * progress)) / 2
    right = right_long + (right_short - right_long) * short
    wrong = wrong_long + (wrong_short - wrong_long) * short
    return torch.where(rollout.correct, right, wrong)


def open_rs(
    *,
    limit: int = 3584,
    right_short: float = 1.0,
    right_long: float = 0.5,
    wrong_short: float = -1.0,
    wrong_long: float = -0.5,
    clip_low: float = 0.2,
    clip_high: float = 0.2,
    kl_coef: float | Schedule = 0.04,
    eps: float = 1e-6,
) -> Algorithm:
    """GRPO with a cosine reward; `limit` in tokens, the response limit of the run."""
    return replace(
        grpo(clip_low=clip_low, clip_high=clip_high, kl_coef=kl_coef, eps=eps),
        name="open_rs",
        reward=piece(
            cosine_reward,
            limit=limit,
            right_short=right_short,
            right_long=right_long,
            wrong_short=wrong_short,
            wrong_long=wrong_long,
        ),
    )
