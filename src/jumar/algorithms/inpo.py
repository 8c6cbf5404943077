"""INPO: Iterative Nash Policy Optimization; a pair's lead regresses onto a constant, between two anchors.

    pair: the best and the worst response of each group; D x = x of the best - x of the worst
    h    = D log pi - (tau / eta) D log pi_ref - (1 - tau / eta) D log pi_old
    L    = mean over pairs of (h - 1 / (2 eta))^2

A step of online mirror descent in the game of preferences: eta is how much a step may change, tau how
much the reference holds. Only who won is needed, never how often.

Paper: Zhang et al. 2024, Iterative Nash Policy Optimization: Aligning LLMs with General Preferences via No-Regret Learning, arXiv:2407.00617.   Code: none released by the authors that we know of.
Departs: we have others' accounts of its equations; they agree on eta = 0.0075, tau = 0.0025 and on pairs of the best and the worst of eight. An iteration is a rollout, and the last policy the one that sampled it; the paper makes three over a data set. The task's score is the rater, the paper has a preference model; equal rewards are drawn, and a pair of them has no loss.   Elsewhere: absent from TRL and verl; with tau = 0 it is IPO against the last policy, with tau = eta against the reference.   Changes: preference.
"""

from torch import Tensor

from jumar.aggregates import group_mean
from jumar.algorithm import Algorithm
from jumar.filters import extremes
from jumar.ops.group import group_centred, group_size, group_sum
from jumar.ops.masked import response_sum
from jumar.pieces import piece, promises, reads
from jumar.types import TokenBatch


@promises("per_response")
@reads("ref_logprobs", "old_logprobs")
def nash_regression(tokens: TokenBatch, *, eta: float, tau: float) -> Tensor:
    """[B]: half of its pair's squared error."""
    held = tau / eta
    anchor = held * tokens.ref_logprobs + (1 - held) * tokens.old_logprobs
    side = group_centred(tokens.rewards, tokens.group_ids).sign()
    lead = group_sum(side * response_sum(tokens.logprobs - anchor, tokens.mask), tokens.group_ids)
    decided = group_sum(side.abs(), tokens.group_ids) > 0
    return decided * (lead - 1 / (2 * eta)).square() / group_size(tokens.group_ids)


def inpo(*, eta: float = 0.0075, tau: float = 0.0025) -> Algorithm:
    """For prompts with several responses, of which two are trained on."""
    return Algorithm(
        name="inpo",
        keep=piece(extremes, kept="best_worst"),
        surrogate=piece(nash_regression, eta=eta, tau=tau),
        aggregate=piece(group_mean),
        unit="group",
    )
