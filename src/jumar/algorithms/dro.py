"""DRO: regress the reward of a single response onto a learned value plus the scaled log-ratio.

    x_i = r_i - V(prompt_i) - tau * sum_t (log pi - log pi_ref)
    L   = mean_i x_i^2 / (2 tau), V detached; critic: mean_i x_i^2 / 2, pi detached

Paper: Richemond et al. 2024, Offline Regularised Reinforcement Learning for LLM Alignment, arXiv:2405.19107, eq. 7-8, with the policy's gradient over tau as in its algorithm DRO-V.   Code: none released.
Departs: V is read at the first token of the response, before which the critic has seen the prompt alone. tau = 1.0 is the paper's for rewards of mean 0 and variance 1; ours are verdicts of 0 and 1, which move a policy little at that tau.   Elsewhere: absent from TRL; verl's policy loss `dro` takes an advantage and regularises each token on its own, towards the policy that sampled, which is this only for responses of one token.   Changes: value_loss.   Also called: dro-v.
"""

from torch import Tensor

from jumar.aggregates import response_mean
from jumar.algorithm import Algorithm
from jumar.ops.masked import response_sum
from jumar.pieces import piece, promises, reads
from jumar.types import TokenBatch


@promises("per_response")
@reads("ref_logprobs", "values")
def scaled_regression(tokens: TokenBatch, *, tau: float) -> Tensor:
    """[B]: half the squared error over tau, for the policy alone."""
    log_ratio = response_sum(tokens.logprobs - tokens.ref_logprobs, tokens.mask)
    error = tokens.rewards - prompt_value(tokens).detach() - tau * log_ratio
    return error.square() / (2 * tau)


@reads("ref_logprobs", "values")
def value_regression(tokens: TokenBatch, *, tau: float) -> Tensor:
    """[B]: half the squared error, for the critic alone."""
    log_ratio = response_sum(tokens.logprobs - tokens.ref_logprobs, tokens.mask)
    return (tokens.rewards - prompt_value(tokens) - tau * log_ratio.detach()).square() / 2


def prompt_value(tokens: TokenBatch) -> Tensor:
    """[B]: the critic's value before the first token of the response."""
    first = tokens.mask & (tokens.mask.cumsum(dim=1) == 1)
    return response_sum(tokens.values, first)


def dro(*, tau: float = 1.0) -> Algorithm:
    """With a critic and a reference; one response per prompt is enough, whoever wrote it."""
    return Algorithm(
        name="dro",
        surrogate=piece(scaled_regression, tau=tau),
        aggregate=piece(response_mean),
        value_loss=piece(value_regression, tau=tau),
        unit="response",
    )
