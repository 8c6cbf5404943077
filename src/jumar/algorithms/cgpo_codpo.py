"""CGPO-CODPO: Constrained Online DPO; the best response that passes the judges against the worst that does not.

    pair: of each group the correct response of largest reward, and of the others the one of smallest
    L   = mean over pairs of -log sigmoid(m) - nll_coef * mean_t log pi(y_t) of the correct one            m as in DPO

The likelihood term keeps the correct response from losing probability along with the other.

Paper: Xu et al. 2024, The Perfect Blend: Redefining RLHF with Mixture of Judges, arXiv:2409.20370.   Code: none released by the authors; a CGPOTrainer was proposed to TRL.
Departs: `correct` is the verdict of all judges. Equal rewards are drawn, and a group without such a pair is dropped, where the proposed trainer takes what it finds. beta = 0.1 is DPO's and nll_coef = 1.0 ours; the paper's we have not seen.   Elsewhere: absent from TRL 1.16 and verl.   Also called: codpo.
"""

from dataclasses import replace

import torch
from torch import Tensor

from jumar.algorithm import Algorithm, Penalty
from jumar.algorithms.dpo import dpo
from jumar.ops.draws import row_uniform
from jumar.ops.group import group_rank, group_sum
from jumar.ops.masked import response_mean
from jumar.pieces import piece
from jumar.types import RolloutBatch, TokenBatch


def constrained_pair(rollout: RolloutBatch) -> Tensor:
    """[B] bool: the best correct row and the worst other row of each group that has both."""
    draw = row_uniform(rollout.seed, rollout.step, rollout.prompt_ids, rollout.sample_ids)
    right, ids = rollout.correct, rollout.group_ids
    best = group_rank((-rollout.rewards).masked_fill(~right, torch.inf), ids, ties=draw) == 0
    worst = group_rank(rollout.rewards.masked_fill(right, torch.inf), ids, ties=draw) == 0
    chosen = (best & right) | (worst & ~right)
    return chosen & (group_sum(chosen.long(), ids) == 2)


def feasibility(rollout: RolloutBatch) -> Tensor:
    """[B]: 1 for what passes, 0 for what does not, whatever their rewards."""
    return rollout.correct.to(rollout.rewards)


def correct_likelihood(tokens: TokenBatch) -> Tensor:
    """[B] nats: minus the mean log-prob of a correct response, 0 for others."""
    return -response_mean(tokens.logprobs, tokens.mask).masked_fill(~tokens.correct, 0)


def cgpo_codpo(*, beta: float = 0.1, nll_coef: float = 1.0) -> Algorithm:
    """DPO on pairs that the policy makes itself; nll_coef = 0 leaves the likelihood out."""
    likelihood = Penalty(name="nll", coef=nll_coef, piece=piece(correct_likelihood))
    return replace(
        dpo(beta=beta),
        name="cgpo_codpo",
        keep=piece(constrained_pair),
        reward=piece(feasibility),
        penalties=(likelihood,) if nll_coef else (),
        rows="sampled",
    )
