"""REBEL: regress the difference of two log-ratios onto the difference of their rewards.

    x_i = 1/eta * sum_t (log pi - log pi_old) - r_i             L = mean over pairs of (x_i - x_j)^2

The mean over all pairs of a group of n is 2 / (n - 1) * sum_i (x_i - mean_g x)^2, so each row has its
share and no pair is formed; n = 2 is the paper's. form="code" has x_i = sum_t (log pi - log pi_old) - eta r_i,
the same regression with eta^2 times the loss.

Paper: Gao et al. 2024, REBEL: Reinforcement Learning via Regressing Relative Rewards, arXiv:2404.16767.   Code: https://github.com/ZhaolinGao/REBEL, src/ultrafeedback/rebel.py (4ad7c11).
Departs: groups may be larger than pairs; r is the verdict alone, where the released runs take from a reward model's score 0.05 times the response's sum of log pi_old - log pi_ref, and give -4 to one without an end; eta = 1 is the released code's, where the forms are one.   Elsewhere: absent from TRL and verl.   Changes: regression.
"""

from typing import Literal

from torch import Tensor

from jumar.aggregates import group_mean
from jumar.algorithm import Algorithm
from jumar.ops.group import group_centred, group_size
from jumar.ops.masked import response_sum
from jumar.pieces import piece, promises, reads
from jumar.types import TokenBatch

Form = Literal["paper", "code"]


@promises("per_response")
@reads("old_logprobs")
def relative_reward_regression(tokens: TokenBatch, *, eta: float, form: Form) -> Tensor:
    """[B]: the row's share of the mean squared error over all pairs of its group."""
    log_ratio = response_sum(tokens.logprobs - tokens.old_logprobs, tokens.mask)
    error = log_ratio - eta * tokens.rewards if form == "code" else log_ratio / eta - tokens.rewards
    centred = group_centred(error, tokens.group_ids)
    return 2 * centred.square() / (group_size(tokens.group_ids) - 1).clamp(min=1)


def rebel(*, eta: float = 1.0, form: Form = "paper") -> Algorithm:
    """Groups of two or more responses; a group of one has no pair and adds nothing."""
    return Algorithm(
        name="rebel",
        surrogate=piece(relative_reward_regression, eta=eta, form=form),
        aggregate=piece(group_mean),
        unit="group",
    )
