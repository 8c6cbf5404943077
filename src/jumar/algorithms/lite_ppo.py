"""Lite PPO: GRPO with the spread of the whole batch in place of each group's, and one mean over all tokens.

    A_i = (R_i - mean_g R) / (std_batch R + eps)
    L   = 1/tokens * sum_i sum_t max(-A_i r_t, -A_i clip(r_t, 1 - clip_low, 1 + clip_high))

A group that is almost always right, or wrong, has a small std of its own, which blows up the few
responses that differ; the batch's std is the same for all groups.

Paper: Liu et al. 2025, Part I: Tricks or Traps? A Deep Dive into RL for LLM Reasoning, arXiv:2508.08221.   Code: none released by the authors; https://github.com/alibaba/ROLL.
Departs: we have not read the paper's eps and kind of std; unbiased and eps = 1e-6 are ours. No KL.   Elsewhere: TRL's scale_rewards="batch" with loss_type="dapo", whose eps is 1e-4; absent from verl.   Changes: advantage.
"""

import torch

from jumar.algorithm import Algorithm
from jumar.ops.group import group_centred, group_std
from jumar.pieces import piece, promises
from jumar.surrogates.clipped import clipped_surrogate
from jumar.types import RolloutBatch, Signals, State


@promises("group_centred")
def batch_normalised(rollout: RolloutBatch, state: State, *, eps: float) -> tuple[Signals, State]:
    """[B]: (reward - mean of its group) / (unbiased std of all rewards + eps)."""
    centred = group_centred(rollout.rewards, rollout.group_ids)
    spread = group_std(rollout.rewards, torch.zeros_like(rollout.group_ids))
    return Signals(advantages=centred / (spread + eps)), state


def lite_ppo(*, clip_low: float = 0.2, clip_high: float = 0.2, eps: float = 1e-6) -> Algorithm:
    """For base models; the paper advises a higher upper clip for aligned ones only."""
    return Algorithm(
        name="lite_ppo",
        advantage=piece(batch_normalised, eps=eps),
        surrogate=piece(clipped_surrogate, clip_low=clip_low, clip_high=clip_high),
    )
