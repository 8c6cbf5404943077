"""CGPO-CODPO: Constrained Online DPO; the best response that passes the judges against the worst that does not.

    pair: of each group the correct response of largest reward, and of the others the one of smallest; where
          all are correct, the one of smallest reward
    L   = mean over pairs of -log sigmoid(m) - nll_coef * mean_t log pi(y_t) of the chosen one             m as in DPO

The likelihood term keeps the chosen response from losing probability along with the other.

Paper: Xu et al. 2024, The Perfect Blend: Redefining RLHF with Mixture of Judges, arXiv:2409.20370.   Code: none released by the authors; a CGPOTrainer was proposed to TRL.
Departs: `correct` is the verdict of all judges. Equal rewards are drawn; a group without a correct response is dropped, as in the paper, and so is one in which all are equally good. beta = 0.1 is DPO's and nll_coef = 1.0 ours; the paper's we have not seen.   Elsewhere: absent from TRL 1.16 and verl.   Changes: preference.   Also called: codpo.
"""

from dataclasses import replace

from torch import Tensor

from jumar.algorithm import Algorithm, Penalty
from jumar.algorithms.dpo import dpo
from jumar.ops.draws import row_uniform
from jumar.ops.group import group_centred, group_rank, group_size, group_sum
from jumar.ops.masked import response_mean
from jumar.pieces import piece
from jumar.types import RolloutBatch, TokenBatch


def feasible_rank(rollout: RolloutBatch) -> Tensor:
    """[B]: how many of its group a response is better than: correct before others, then by reward."""
    correct = rollout.correct.to(rollout.rewards)
    return group_rank(correct, rollout.group_ids, ties=rollout.rewards).to(correct)


def constrained_pair(rollout: RolloutBatch) -> Tensor:
    """[B] bool: the best and the worst row of each group that has a correct one, and a worse one."""
    ids = rollout.group_ids
    draw = row_uniform(rollout.seed, rollout.step, rollout.prompt_ids, rollout.sample_ids)
    better = feasible_rank(rollout)
    order = group_rank(better, ids, ties=draw)
    best = (order == group_size(ids) - 1) & rollout.correct & (better > 0)
    return (best | (order == 0)) & (group_sum(best.long(), ids) > 0)


def chosen_likelihood(tokens: TokenBatch) -> Tensor:
    """[B] nats: minus the mean log-prob of the chosen response, 0 for the other."""
    chosen = group_centred(tokens.rewards, tokens.group_ids) > 0
    return -response_mean(tokens.logprobs, tokens.mask).masked_fill(~chosen, 0)


def cgpo_codpo(*, beta: float = 0.1, nll_coef: float = 1.0) -> Algorithm:
    """DPO on pairs that the policy makes itself; nll_coef = 0 leaves the likelihood out."""
    likelihood = Penalty(name="nll", coef=nll_coef, piece=piece(chosen_likelihood))
    return replace(
        dpo(beta=beta),
        name="cgpo_codpo",
        keep=piece(constrained_pair),
        reward=piece(feasible_rank),
        penalties=(likelihood,) if nll_coef else (),
        rows="sampled",
    )
