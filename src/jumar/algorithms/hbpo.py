"""HBPO: a prompt's responses are told different budgets; each is rewarded against its own, and budgets against each other.

    f(x) = scale * cos(pi x / (2 limit))             b_i: the budget that the prefill of response i names
    R_i  = min(f(|y_i|) - |b_i - |y_i|| / limit, f(b_i)) if right and |y_i| <= limit, f(|y_i|) where no budget is named, else 0
    A_i  = (R_i - mean_g R) / (std_g R + eps) + (mean of R over the group's responses with budget b_i - f(b_i))
    L    = mean over all tokens of max(-A r, -A clip(r, 1 - clip_low, 1 + clip_high)), at most -A dual_clip where A < 0

f falls from `scale` to 0 as a budget takes all of the limit; so a prompt is worth most under the
smallest budget that still solves it, and subgroups of large budgets keep exploring.

Paper: Lyu et al. 2025, Hierarchical Budget Policy Optimization for Adaptive Reasoning, arXiv:2507.15844.   Code: https://github.com/ZJU-REAL/HBPO, verl/trainer/ppo/core_algos.py, verl/trainer/config/ppo_trainer.yaml and rllm/rewards/math_reward.py (5c8991d).
Departs: the second term of A is added once, by a slip the released code adds it twice. Where no budget is named, it is measured from f(limit), as there. scale = 4.0, limit = 4096 and the unbiased std are the code's; its pi is 3.1416, and it rounds R to 2 digits where no budget is named. `budgets` (512, 1024, 2048, 2560 or none, each for a quarter of 16 responses, as "<think> I will answer the question with n tokens") are prefills of the response, which the policy goes on from. clip_low = 0.2, clip_high = 0.28, dual_clip = 3.0, the mean over all tokens and no reference are the released run's.   Elsewhere: absent from TRL and verl, whose fork the released code is.   Changes: reward.   Needs: `budgets`, which no engine here gives.
"""

import math
from dataclasses import replace

import torch
from torch import Tensor

from jumar.advantages.group import group_normalised
from jumar.algorithm import Algorithm
from jumar.ops.group import group_mean
from jumar.pieces import piece, reads
from jumar.surrogates.clipped import clipped_surrogate
from jumar.types import RolloutBatch, Signals, State


@reads("budgets")
def budget_reward(rollout: RolloutBatch, *, limit: int, scale: float) -> Tensor:
    """[B]: what a right response of its length is worth under its budget; 0 for others."""
    length, budget = rollout.mask.sum(dim=1).to(rollout.rewards), rollout.budgets
    worth = _worth(length, limit, scale)
    within = torch.minimum(worth - (budget - length).abs() / limit, _worth(budget, limit, scale))
    reward = torch.where(budget > 0, within, worth)
    return torch.where(rollout.correct & (length <= limit), reward, 0.0)


def _worth(tokens: Tensor, limit: int, scale: float) -> Tensor:
    return scale * torch.cos(math.pi * tokens / (2 * limit))


@reads("budgets")
def two_level_advantage(
    rollout: RolloutBatch, state: State, *, limit: int, scale: float, eps: float
) -> tuple[Signals, State]:
    """[B]: GRPO's over the group, and how its budget's subgroup did against what the budget is worth."""
    across, state = group_normalised(rollout, state, eps=eps)
    pairs = torch.stack([rollout.group_ids.double(), rollout.budgets.double()], dim=1)
    subgroup = torch.unique(pairs, dim=0, return_inverse=True)[1]
    named = torch.where(rollout.budgets > 0, rollout.budgets, limit)
    within = group_mean(rollout.rewards, subgroup) - _worth(named, limit, scale)
    return replace(across, advantages=across.advantages + within.to(across.advantages)), state


def hbpo(
    *,
    limit: int = 4096,
    scale: float = 4.0,
    clip_low: float = 0.2,
    clip_high: float = 0.28,
    dual_clip: float | None = 3.0,
    eps: float = 1e-6,
) -> Algorithm:
    """`limit` is the longest response in tokens that is still rewarded."""
    return Algorithm(
        name="hbpo",
        reward=piece(budget_reward, limit=limit, scale=scale),
        advantage=piece(two_level_advantage, limit=limit, scale=scale, eps=eps),
        surrogate=piece(
            clipped_surrogate, clip_low=clip_low, clip_high=clip_high, dual_clip=dual_clip
        ),
    )
