"""GRPO-length-switch: GRPO-lambda; brevity is rewarded only on the prompts of a rollout that are solved best.

    the ceil(fraction * groups) groups with the largest part of right responses:
        R_i = 1 - alpha * sigmoid((|y_i| - mean |y|) / (std |y| + eps)) if right, else 0     over right responses of the group
    all other groups:   the verdict
    the rest is GRPO

A length penalty on prompts that are not yet solved trades accuracy for brevity until training breaks.

Paper: Dai et al. 2025, Stable Reinforcement Learning for Efficient Reasoning, arXiv:2505.18086.   Code: none released that we know of.
Departs: we have the abstract and others' accounts of it, not its text. fraction = 0.2 is the one they give; alpha = 0.6 is one account's default, not known to be the paper's; the unbiased std is ours, and so is the draw between groups that are solved equally well. The clips, kl_coef = 0.0 and eps = 1e-6 are those of our `grpo` without its reference.   Elsewhere: absent from TRL and verl. Two other methods are called GRPO-lambda: one has eligibility traces, one learns weights of tokens.   Changes: reward.   Also called: grpo-lambda.
"""

import math
from dataclasses import replace

import torch
from torch import Tensor

from jumar.algorithm import Algorithm
from jumar.algorithms.grpo import grpo
from jumar.ops.draws import row_uniform
from jumar.ops.group import group_mean, group_sum
from jumar.pieces import piece
from jumar.types import RolloutBatch


def switched_reward(rollout: RolloutBatch, *, fraction: float, alpha: float, eps: float) -> Tensor:
    """[B]: less for longer right responses in the best solved groups, the verdict elsewhere."""
    right, ids = rollout.correct.to(rollout.rewards), rollout.group_ids
    length = rollout.mask.sum(dim=1).to(rollout.rewards)
    count = group_sum(right, ids).clamp(min=1)
    centred = length - group_sum(length * right, ids) / count
    squares = group_sum(centred.square() * right, ids)
    std = (squares / (count - 1).clamp(min=1)).sqrt()
    short = right * (1 - alpha * torch.sigmoid(centred / (std + eps)))
    return torch.where(_best_solved(rollout, fraction), short, rollout.rewards)


def _best_solved(rollout: RolloutBatch, fraction: float) -> Tensor:
    """[B] bool: rows of the groups with the largest part of right responses; ties are drawn."""
    solved = group_mean(rollout.correct.to(rollout.rewards), rollout.group_ids)
    first = torch.zeros_like(rollout.sample_ids)
    draw = row_uniform(rollout.seed, rollout.step, rollout.prompt_ids, first)
    keys, index = torch.unique(
        torch.stack([-solved.double(), draw], dim=1), dim=0, return_inverse=True
    )
    best: Tensor = index < math.ceil(fraction * len(keys))
    return best


def grpo_length_switch(
    *,
    fraction: float = 0.2,
    alpha: float = 0.6,
    clip_low: float = 0.2,
    clip_high: float = 0.2,
    eps: float = 1e-6,
) -> Algorithm:
    """With alpha = 0 it is GRPO; fraction = 1 rewards brevity everywhere, which is what it warns of."""
    return replace(
        grpo(clip_low=clip_low, clip_high=clip_high, kl_coef=0.0, eps=eps),
        name="grpo_length_switch",
        reward=piece(switched_reward, fraction=fraction, alpha=alpha, eps=eps),
    )
