"""CGPO-CRRAFT: Calibrated Regularized Reward Ranking Finetuning; imitate the best response that passes the judges.

    kept: of each group the correct response of largest reward
    L   = mean_i -sigmoid(r_i - r_baseline) [l_i <= max_kl] * sum_t log pi(y_t)                l_i = sum_t (log pi_old - log pi_ref)

Paper: Xu et al. 2024, The Perfect Blend: Redefining RLHF with Mixture of Judges, arXiv:2409.20370.   Code: none released by the authors; a CGPOTrainer was proposed to TRL.
Departs: as `cgpo_crpg`, and max_kl = 5.0 as there. Equal rewards are drawn. The mean is over the responses kept; the proposed trainer divides by the sum of the weights. A group without a correct response is dropped, where that trainer falls back on the baseline's response if it passes.   Elsewhere: absent from TRL 1.16 and verl; without calibration it is RAFT.   Also called: crraft.
"""

import torch
from torch import Tensor

from jumar.aggregates import response_sum
from jumar.algorithm import Algorithm
from jumar.ops.draws import row_uniform
from jumar.ops.group import group_rank
from jumar.ops.masked import response_sum as sum_over_tokens
from jumar.pieces import piece, reads
from jumar.rewards import calibrated_reward
from jumar.surrogates.score_function import score_function
from jumar.types import RolloutBatch, Signals, State


def best_feasible(rollout: RolloutBatch) -> Tensor:
    """[B] bool: the correct response of largest reward of each group, if it has one."""
    draw = row_uniform(rollout.seed, rollout.step, rollout.prompt_ids, rollout.sample_ids)
    worth = (-rollout.rewards).masked_fill(~rollout.correct, torch.inf)
    return rollout.correct & (group_rank(worth, rollout.group_ids, ties=draw) == 0)


@reads("baseline_rewards", "old_logprobs", "ref_logprobs")
def reward_within(rollout: RolloutBatch, *, max_kl: float) -> Tensor:
    """[B]: the calibrated reward; 0 where the response is over max_kl nats likelier than under the reference."""
    lead = sum_over_tokens(rollout.old_logprobs - rollout.ref_logprobs, rollout.mask)
    return calibrated_reward(rollout).masked_fill(lead > max_kl, 0)


def reward_itself(rollout: RolloutBatch, state: State) -> tuple[Signals, State]:
    """[B]: the shaped reward, without a baseline."""
    return Signals(advantages=rollout.rewards), state


def cgpo_crraft(*, max_kl: float = 5.0) -> Algorithm:
    """`max_kl` is in nats of a whole response; the program `cgpo` gives the baseline's rewards."""
    return Algorithm(
        name="cgpo_crraft",
        keep=piece(best_feasible),
        reward=piece(reward_within, max_kl=max_kl),
        advantage=piece(reward_itself),
        surrogate=piece(score_function),
        aggregate=piece(response_sum),
    )
