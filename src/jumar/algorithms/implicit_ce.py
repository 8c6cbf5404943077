"""Implicit CE: read the policy's log-ratio as its bet on a response, and train the bet on the verdict.

    s_i = beta * agg_t (log pi(y_t) - log pi_anchor(y_t))                    agg: sum or mean over tokens
    L   = mean_i -[correct_i log sigmoid(s_i) + negative_weight (1 - correct_i) log sigmoid(-s_i)] + kl_coef * k2(pi, pi_anchor)

No pairs, no clip: the sigmoid stops a response that is told apart, the sooner the larger beta. ERPD
trains extreme teachers with it.

Paper: Yuan et al. 2024, Free Process Rewards without Process Labels, arXiv:2412.01981; as a policy loss in Extreme Region Policy Distillation, arXiv:2605.25582, eq. 2-3.   Code: https://github.com/PRIME-RL/PRIME, training/verl/trainer/ppo/core_algos.py (trains a reward model of its own).
Departs: nothing of the loss; beta = 0.05 and the sum are the released code's, of a range 0.001 to 0.05 that ERPD tunes together with sum or mean. The anchor is the policy that sampled the batch, as in ERPD. negative_weight is ERPD's weight of wrong responses for unlearning (1: none); kl_coef and its form k2 are ours.   Elsewhere: absent from TRL and verl; the released code takes the sigmoid first and its logarithm after, which saturates.   Changes: regression.   Also called: ce.
"""

from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from jumar.aggregates import response_mean
from jumar.algorithm import Algorithm, Penalty
from jumar.ops.masked import response_mean as mean_over_tokens
from jumar.ops.masked import response_sum as sum_over_tokens
from jumar.penalties.kl import sampled_kl
from jumar.pieces import piece, promises, reads
from jumar.schedules import Schedule
from jumar.types import TokenBatch


@promises("per_response")
@reads("{anchor}")
def implicit_cross_entropy(
    tokens: TokenBatch,
    *,
    beta: float,
    agg: Literal["sum", "mean"],
    anchor: str,
    negative_weight: float,
) -> Tensor:
    """[B] nats: cross-entropy of the verdict under sigmoid(beta * log-ratio of the response)."""
    over_tokens = sum_over_tokens if agg == "sum" else mean_over_tokens
    logit = beta * over_tokens(tokens.logprobs - tokens[anchor], tokens.mask)
    loss = binary_cross_entropy_with_logits(logit, tokens.correct.to(logit.dtype), reduction="none")
    return torch.where(tokens.correct, loss, negative_weight * loss)


def implicit_ce(
    *,
    beta: float = 0.05,
    agg: Literal["sum", "mean"] = "sum",
    anchor: Literal["old_logprobs", "ref_logprobs"] = "old_logprobs",
    negative_weight: float = 1.0,
    kl_coef: float | Schedule = 0.0,
) -> Algorithm:
    """A mean over n tokens with n times the beta is the sum; a larger beta ties the policy closer."""
    kl = Penalty(name="kl", coef=kl_coef, piece=piece(sampled_kl, kind="k2", other=anchor))
    return Algorithm(
        name="implicit_ce",
        surrogate=piece(
            implicit_cross_entropy,
            beta=beta,
            agg=agg,
            anchor=anchor,
            negative_weight=negative_weight,
        ),
        penalties=(kl,) if kl_coef else (),
        aggregate=piece(response_mean),
        unit="response",
    )
