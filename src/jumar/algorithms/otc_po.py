"""OTC-PO: a right answer is worth most with as few tool calls as its prompt needs.

    n   = the fewest calls m_i of a right response in the group                f = 2 n m / (m + n)
    R_i = alpha * verdict * (1 if m = n = 0;  cos(pi m / (2 m + c)) if n = 0;  sin(pi f / (2 n)) elsewhere)
    the rest is GRPO

The factor is 1 at m = n and falls on both sides of it, to 0.87 at m = 2 n. It multiplies, so that no
wrong answer gains by calling nothing.

Paper: Wang et al. 2025, Acting Less is Reasoning More! Teaching Model to Act Efficiently, arXiv:2504.14870.   Code: none released that we could read.
Departs: n is of this rollout's group, the paper keeps the smallest over epochs. alpha = 1.0 and c = 1.0 are ours, the paper's we have not seen. The clips and kl_coef = 0.0 are ours, eps = 1e-6 is verl's.   Elsewhere: absent from TRL and verl. The paper's OTC-PPO has cos(pi m / (2 m + c)) for every n.   Changes: reward.   Needs: `tool_calls`, which no engine here gives.
"""

import math
from dataclasses import replace

import torch
from torch import Tensor

from jumar.algorithm import Algorithm
from jumar.algorithms.grpo import grpo
from jumar.ops.group import group_min
from jumar.pieces import piece, reads
from jumar.types import RolloutBatch


@reads("tool_calls")
def tool_reward(rollout: RolloutBatch, *, alpha: float, c: float) -> Tensor:
    """[B]: the verdict times how near the response came to the fewest calls that sufficed."""
    calls = rollout.tool_calls.to(rollout.rewards)
    wrong = ~rollout.correct
    fewest = group_min(calls.masked_fill(wrong, torch.inf), rollout.group_ids)
    none_needed = torch.cos(math.pi * calls / (2 * calls + c))
    some_needed = torch.sin(math.pi * calls / (calls + fewest).clamp(min=1))
    efficiency = torch.where(fewest > 0, some_needed, none_needed)
    return alpha * rollout.rewards * efficiency.masked_fill(wrong, 0)


def otc_po(
    *,
    alpha: float = 1.0,
    c: float = 1.0,
    clip_low: float = 0.2,
    clip_high: float = 0.2,
    eps: float = 1e-6,
) -> Algorithm:
    """The smaller c, the less a first needless call leaves of the reward."""
    return replace(
        grpo(clip_low=clip_low, clip_high=clip_high, kl_coef=0.0, eps=eps),
        name="otc_po",
        reward=piece(tool_reward, alpha=alpha, c=c),
    )
