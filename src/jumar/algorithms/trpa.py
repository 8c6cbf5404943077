"""TRPA: rank the responses of a group by level, and prefer the better of each pair, near the policy that sampled.

    s_i = mean_t (log pi - log pi_ref)               a_i = anisotropy where i is right, else 1
    L_g = mean over pairs R_i > R_j of -log sigmoid(beta a_i (s_i - s_j)), or mean_i -log sigmoid(+-s_i) without a pair
    L   = mean over groups of L_g + kl_coef * mean over tokens of k3(pi, pi_old)              + right, - wrong

Paper: Su et al. 2025, Trust Region Preference Approximation: A simple and stable reinforcement learning algorithm for LLM reasoning, arXiv:2504.04524.   Code: https://github.com/XueruiSu/Trust-Region-Preference-Approximation, verl/trainer/ppo/core_algos.py.
Departs: levels are rewards, the higher the better, where the released code has four by answer and format. The mean over pairs is within each group first; the code takes all pairs of a micro-batch, which may split a group, and turns to single responses only where that has no pair. beta = 0.1, anisotropy = 2.5 and kl_coef = 0.001 are its script's; its option sqrt(KL + 0.25) is left out, and so is its cap of k3 at 10.   Elsewhere: absent from TRL and verl; with pairs of right and wrong it is DPO on mean log-ratios.   Changes: preference.
"""

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from jumar.aggregates import group_mean, token_mean
from jumar.algorithm import Algorithm, Penalty
from jumar.ops.group import group_size, group_sum
from jumar.ops.masked import response_mean
from jumar.penalties.kl import sampled_kl
from jumar.pieces import piece, promises, reads
from jumar.schedules import Schedule
from jumar.types import TokenBatch


@promises("per_response")
@reads("ref_logprobs")
def ranked_preferences(tokens: TokenBatch, *, beta: float, anisotropy: float) -> Tensor:
    """[B]: the row's share of its group's loss; a pair belongs to its better response."""
    score = response_mean(tokens.logprobs - tokens.ref_logprobs, tokens.mask)
    same = tokens.group_ids[:, None] == tokens.group_ids[None, :]
    pair = same & (tokens.rewards[:, None] > tokens.rewards[None, :])
    sharpness = score.new_tensor([beta, anisotropy * beta])[tokens.correct.long()]
    losses = -logsigmoid(sharpness[:, None] * (score[:, None] - score[None, :]))
    won = losses.masked_fill(~pair, 0).sum(dim=1)
    pairs = group_sum(pair.sum(dim=1), tokens.group_ids)
    alone = -logsigmoid(torch.where(tokens.correct, score, -score)) / group_size(tokens.group_ids)
    return torch.where(pairs > 0, won / pairs.clamp(min=1), alone)


def trpa(
    *, beta: float = 0.1, anisotropy: float = 2.5, kl_coef: float | Schedule = 1e-3
) -> Algorithm:
    """With a reference for the scores; the trust region is around the policy that sampled."""
    region = Penalty(
        name="kl_old",
        coef=kl_coef,
        piece=piece(sampled_kl, kind="k3", other="old_logprobs"),
        aggregate=piece(token_mean),
    )
    return Algorithm(
        name="trpa",
        surrogate=piece(ranked_preferences, beta=beta, anisotropy=anisotropy),
        penalties=(region,) if kl_coef else (),
        aggregate=piece(group_mean),
        unit="group",
    )
