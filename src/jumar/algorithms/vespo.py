"""VESPO: a smooth weight on the whole response's importance ratio, which fades on both sides of 1.

    W   = prod_t pi(y_t) / pi_old(y_t)               the true ratio of the response, no root, no mean
    phi = W^k * exp(lam * (1 - W))                   (k, lam) = (k_pos, lam_pos) where A >= 0, else (k_neg, lam_neg)
    L   = 1/tokens * sum_i sum_t -sg(phi_i) A_i log pi(y_t)                          A_i = R_i - mean_g R

phi is 1 at W = 1, largest at W = k / lam, and never above (k / lam)^k exp(lam - k): 1.21 and 1.24 here.

Paper: VESPO: Variational Sequence-Level Soft Policy Optimization for Stable Off-Policy LLM Training, arXiv:2602.10693.   Code: https://github.com/FloyedShen/VESPO, recipe/vespo/code/core_algos.py.
Departs: nothing in the weight, whose k and lam the paper calls c1 and c2; as in its code, pi_old stands for the policy that sampled, and the mean is over all tokens. log W is cut at +-20 nats.   Elsewhere: TRL's loss type "vespo"; absent from verl, for which the released code is a recipe. Both hold W at 1e-8 from below, divide A by the group's std by default, and multiply weights against the sampler's mismatch into W.   Changes: token_weight.
"""

import torch
from torch import Tensor

from jumar.advantages.group import group_mean_baseline
from jumar.algorithm import Algorithm
from jumar.ops.masked import response_sum
from jumar.ops.ratio import MAX_LOG_RATIO, log_ratio
from jumar.pieces import piece, reads
from jumar.surrogates.score_function import score_function
from jumar.types import TokenBatch


@reads("old_logprobs")
def gamma_weight(
    tokens: TokenBatch, *, k_pos: float, lam_pos: float, k_neg: float, lam_neg: float
) -> Tensor:
    """[B, T]: phi of the response, given to each of its tokens; 1 on-policy, 0 in both limits."""
    total = response_sum(log_ratio(tokens).detach(), tokens.mask)[:, None]
    log_w = total.clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO)
    good, bad = _kernel(log_w, k_pos, lam_pos), _kernel(log_w, k_neg, lam_neg)
    return torch.where(tokens.advantages >= 0, good, bad)


def _kernel(log_w: Tensor, k: float, lam: float) -> Tensor:
    # one exponential at the end: W^k alone would overflow long before exp(-lam W) undoes it
    return (k * log_w + lam * (1 - log_w.exp())).exp()


def vespo(
    *, k_pos: float = 2.0, lam_pos: float = 3.0, k_neg: float = 3.0, lam_neg: float = 2.0
) -> Algorithm:
    """The larger k, the faster the weight falls below W = 1; the larger lam, the faster above."""
    return Algorithm(
        name="vespo",
        advantage=piece(group_mean_baseline),
        token_weight=piece(
            gamma_weight, k_pos=k_pos, lam_pos=lam_pos, k_neg=k_neg, lam_neg=lam_neg
        ),
        surrogate=piece(score_function),
        unit="response",
    )
