"""DisCO: score right responses above wrong ones, most of all above the likeliest wrong one, within a trust region.

    s_i = mean_t log pi(y_t), or mean_t r_t                     r_t = pi(y_t) / pi_old(y_t)
    L_g = -(mean over right of s) + tau * log(mean over wrong of exp(s / tau))                 tau None: the mean over wrong of s
    L   = mean over groups of L_g + kl_coef / 2 * max(KL - kl_limit, 0)^2                      KL: mean over tokens of -log r_t

A group with right and wrong responses counts the same however many are right, where GRPO weighs it by
sqrt(p (1 - p)). No clip: KL(pi_old || pi) of the whole step bounds the update, and costs nothing below
its limit. The soft maximum looks at the wrong responses that the policy is surest of (tau: how soft).

Paper: Li et al. 2025, DisCO: Reinforcing Large Reasoning Models with Discriminative Constrained Optimization, arXiv:2505.12366.   Code: https://github.com/Optimization-AI/DisCO, verl/verl/trainer/ppo/core_algos.py (bd2b078).
Departs: the hinge's gradient is the released code's, half of that of kl_coef * max(..)^2. tau = 10.0 and the estimate of KL are those of its script for log-likelihoods; with score="ratio" it takes tau=1. KL is of the whole step, the code's of one micro-batch on all ranks. A group of one kind adds nothing, and is counted in the mean over groups, as there.   Elsewhere: absent from TRL and verl. The released code has no tau in its "discob" losses (our tau None), and sends the name disco_Lratio to one of those.   Changes: surrogate.
"""

from typing import Literal

import torch
from torch import Tensor

from jumar.aggregates import group_mean, token_mean
from jumar.algorithm import Algorithm, Penalty
from jumar.ops.group import group_min, group_sum
from jumar.ops.masked import response_mean
from jumar.ops.ratio import ratio
from jumar.pieces import piece, promises, reads
from jumar.types import Metrics, TokenBatch

Score = Literal["log_likelihood", "ratio"]


@promises("per_response")
@reads("old_logprobs")
def discriminative_loss(tokens: TokenBatch, *, score: Score, tau: float | None) -> Tensor:
    """[B]: the row's share of its group's loss; 0 where the group has no two kinds."""
    values = tokens.logprobs if score == "log_likelihood" else ratio(tokens)
    scores, groups = response_mean(values, tokens.mask), tokens.group_ids
    alive = tokens.mask.any(dim=1)
    right, wrong = tokens.correct & alive, ~tokens.correct & alive
    rights, wrongs = (group_sum(rows.to(scores), groups) for rows in (right, wrong))
    hard = scores if tau is None else tau * _log_mean_exp(scores / tau, wrong, wrongs, groups)
    share = torch.where(right, -scores / rights.clamp(min=1), hard / wrongs.clamp(min=1))
    return torch.where(alive & (rights > 0) & (wrongs > 0), share, 0.0)


def _log_mean_exp(x: Tensor, rows: Tensor, counts: Tensor, group_ids: Tensor) -> Tensor:
    """[B]: over some rows of each group, of which there are `counts`."""
    largest = -group_min((-x.detach()).masked_fill(~rows, torch.inf), group_ids)
    exps = (x - largest).masked_fill(~rows, -torch.inf).exp()
    # the largest is exp(0), so the clamp changes groups without such rows only
    return largest + (group_sum(exps, group_ids).clamp(min=1) / counts.clamp(min=1)).log()


@reads("old_logprobs")
def drift(tokens: TokenBatch) -> Metrics:
    """The estimate of KL(pi_old || pi) in nats, summed over tokens."""
    return {"drift": ((tokens.old_logprobs - tokens.logprobs).sum(), tokens.mask.sum())}


@reads("old_logprobs")
def beyond_limit(tokens: TokenBatch, *, limit: float) -> Tensor:
    """[B, T]: sg(nats by which the step's KL exceeds the limit) times the token's share of it."""
    total, count = tokens.stats["drift"]
    excess = (total / count.clamp(min=1) - limit).clamp(min=0)
    return excess * (tokens.old_logprobs - tokens.logprobs)


def disco(
    *,
    score: Score = "log_likelihood",
    tau: float | None = 10.0,
    kl_coef: float = 1e3,
    kl_limit: float = 1e-4,
) -> Algorithm:
    """score="ratio" goes with tau=1; kl_limit is in nats per token."""
    constraint = Penalty(
        name="kl_constraint",
        coef=kl_coef,
        piece=piece(beyond_limit, limit=kl_limit),
        aggregate=piece(token_mean),
    )
    return Algorithm(
        name="disco",
        surrogate=piece(discriminative_loss, score=score, tau=tau),
        penalties=(constraint,),
        batch_stats=piece(drift),
        aggregate=piece(group_mean),
        unit="group",
    )
