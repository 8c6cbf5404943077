"""A*-PO: regress a response's log-ratio onto its optimal advantage, which needs no second response.

    V*(x) = beta_value * log mean_n exp(r_n / beta_value)       n responses of the reference, stored
    L     = mean_i (beta * sum_t (log pi - log pi_ref) - (r_i - V*(x_i)))^2

Paper: Brantley et al. 2025, Accelerating RL for LLM Reasoning with Optimal Advantage Regression, arXiv:2505.20686, eq. 1 and alg. 1.   Code: https://github.com/ZhaolinGao/A-PO, verl/trainer/apo/core_algos.py.
Departs: beta_value = 0 is the maximum, its limit, and infinity the mean, while the released code takes 0 for the mean; no entropy bonus, of which the released configuration keeps 0.001.   Elsewhere: TRL's experimental a2po, which drops prompts that no sample solved unless told not to; absent from verl.   Changes: regression.   Also called: a2po.
"""

from torch import Tensor

from jumar.aggregates import response_mean
from jumar.algorithm import Algorithm
from jumar.ops.masked import response_sum
from jumar.pieces import piece, promises, reads
from jumar.types import TokenBatch


@promises("per_response")
@reads("ref_logprobs", "optimal_values")
def optimal_advantage_regression(tokens: TokenBatch, *, beta: float) -> Tensor:
    """[B]: squared distance of the scaled log-ratio of the whole response from r - V*."""
    log_ratio = response_sum(tokens.logprobs - tokens.ref_logprobs, tokens.mask)
    return (beta * log_ratio - (tokens.rewards - tokens.optimal_values)).square()


def a_star_po(*, beta: float = 1e-3) -> Algorithm:
    """One response per prompt is enough; V* comes as the stored column `optimal_values`."""
    return Algorithm(
        name="a_star_po",
        surrogate=piece(optimal_advantage_regression, beta=beta),
        aggregate=piece(response_mean),
        unit="response",
    )
