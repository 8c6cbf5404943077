"""Unlikeliness: right answers that the policy found unlikely are worth more than those it expected.

    R_i = verdict * (1 - beta * rank_i / n)       rank_i of n by mean_t log pi_old(y_t): 0 is the least likely
    A, L as GRPO's, with one mean over all tokens kept: groups with 0 < correct < all

Without it the update sharpens what is likely already: the rarest right answers are the first to go.

Paper: He et al. 2025, Rewarding the Unlikely: Lifting GRPO Beyond Distribution Sharpening, arXiv:2506.02355.   Code: https://github.com/AndreHe02/rewarding-unlikely-release, verl/trainer/ppo/ray_lean_trainer.py and verl/trainer/config/lean_trainer.yaml (ca1cff0).
Departs: responses of equal likelihood share the lower rank, where the code breaks ties by order. The paper's second remedy, more epochs on a rollout, is the recipe's optimiser.epochs (2 there). kl_coef = 0.1 is the released script's, the mean over all tokens its configuration's.   Elsewhere: absent from TRL and verl.   Changes: reward.
"""

from dataclasses import replace

from torch import Tensor

from jumar.aggregates import token_mean
from jumar.algorithm import Algorithm
from jumar.algorithms.grpo import grpo
from jumar.filters import mixed_outcomes
from jumar.ops.group import group_rank, group_size
from jumar.ops.masked import response_mean
from jumar.pieces import piece, reads
from jumar.schedules import Schedule
from jumar.types import RolloutBatch


@reads("old_logprobs")
def unlikeliness_reward(rollout: RolloutBatch, *, beta: float) -> Tensor:
    """[B]: less by up to `beta` the likelier the response was beside others of its group."""
    likely = response_mean(rollout.old_logprobs, rollout.mask)
    rank = group_rank(likely, rollout.group_ids).to(rollout.rewards)
    return rollout.rewards * (1 - beta * rank / group_size(rollout.group_ids))


def unlikeliness(
    *,
    beta: float = 0.25,
    clip_low: float = 0.2,
    clip_high: float = 0.2,
    kl_coef: float | Schedule = 0.1,
    eps: float = 1e-6,
) -> Algorithm:
    """The rank counts only where groups are mixed, so groups that are all right are dropped."""
    return replace(
        grpo(clip_low=clip_low, clip_high=clip_high, kl_coef=kl_coef, eps=eps),
        name="unlikeliness",
        reward=piece(unlikeliness_reward, beta=beta),
        keep=piece(mixed_outcomes),
        aggregate=piece(token_mean),
    )
