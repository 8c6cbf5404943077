"""CGPO-CRRAFT: Calibrated Regularized Reward Ranking Finetuning; imitate the best response that passes the judges and stays near.

    w_i = sigmoid(r_i - r_baseline) for the one of largest r among the group's correct responses with l <= max_kl, else 0
    L   = mean over groups of -w_i * sum_t log pi(y_t)                                         l_i = sum_t (log pi_old - log pi_ref)

Paper: Xu et al. 2024, The Perfect Blend: Redefining RLHF with Mixture of Judges, arXiv:2409.20370.   Code: none released by the authors; a CGPOTrainer was proposed to TRL.
Departs: as `cgpo_crpg`, and max_kl = 5.0 as there. Equal rewards are drawn. The mean is over the groups that have a correct response; the proposed trainer divides by the sum of the weights, ranks before it looks at the distance, and falls back on the baseline's response where none passes; a later version of it looks at the distance first, as here, and divides by the number of rewards that are not 0.   Elsewhere: absent from TRL 1.16 and verl; without calibration it is RAFT.   Changes: reward.   Also called: crraft.
"""

import torch
from torch import Tensor

from jumar.aggregates import group_mean
from jumar.algorithm import Algorithm
from jumar.filters import keep_correct
from jumar.ops.draws import row_uniform
from jumar.ops.group import group_rank
from jumar.ops.masked import response_sum
from jumar.pieces import piece, reads
from jumar.rewards import calibrated_reward
from jumar.surrogates.score_function import score_function
from jumar.types import RolloutBatch, Signals, State


@reads("baseline_rewards", "old_logprobs", "ref_logprobs")
def best_within_reach(rollout: RolloutBatch, *, max_kl: float) -> Tensor:
    """[B]: the calibrated reward of each group's best correct response within max_kl nats, else 0."""
    lead = response_sum(rollout.old_logprobs - rollout.ref_logprobs, rollout.mask)
    feasible = rollout.correct & (lead <= max_kl)
    draw = row_uniform(rollout.seed, rollout.step, rollout.prompt_ids, rollout.sample_ids)
    worth = (-rollout.rewards).masked_fill(~feasible, torch.inf)
    best = feasible & (group_rank(worth, rollout.group_ids, ties=draw) == 0)
    return calibrated_reward(rollout).masked_fill(~best, 0)


def reward_itself(rollout: RolloutBatch, state: State) -> tuple[Signals, State]:
    """[B]: the shaped reward, without a baseline."""
    return Signals(advantages=rollout.rewards), state


def cgpo_crraft(*, max_kl: float = 5.0) -> Algorithm:
    """`max_kl` is in nats of a whole response; the program `cgpo` gives the baseline's rewards."""
    return Algorithm(
        name="cgpo_crraft",
        keep=piece(keep_correct),
        reward=piece(best_within_reach, max_kl=max_kl),
        advantage=piece(reward_itself),
        surrogate=piece(score_function),
        aggregate=piece(group_mean),
    )
