"""GSPO: the ratio and its clip belong to the whole response, as the reward does.

    s_i = (pi(y_i) / pi_old(y_i)) ^ (1 / |y_i|)
    L   = mean_i max(-A_i s_i, -A_i clip(s_i, 1 - clip_low, 1 + clip_high))      A_i as in GRPO

Written per token, s_it = sg(s_i) * pi_t / sg(pi_t): equal in value, and its mean over a response has
the gradient of s_i, so that advantages or weights per token fit too (the paper's GSPO-token).

Paper: Zheng et al. 2025, Group Sequence Policy Optimization, arXiv:2507.18071, eq. 5.   Code: none released.
Departs: nothing; the unbiased std and eps = 1e-6 of A are verl's.   Elsewhere: TRL importance_sampling_level="sequence" with loss_type="grpo"; verl's policy loss `gspo`, with loss_agg_mode="seq-mean-token-mean" in place of its default.   Changes: surrogate.
"""

from torch import Tensor

from jumar.advantages.group import group_normalised
from jumar.aggregates import response_mean
from jumar.algorithm import Algorithm
from jumar.ops.masked import response_mean as mean_over_tokens
from jumar.ops.ratio import MAX_LOG_RATIO
from jumar.pieces import piece, promises, reads
from jumar.surrogates.clipped import clipped
from jumar.types import TokenBatch


@promises("policy_gradient")
@reads("old_logprobs")
def response_clipped_surrogate(tokens: TokenBatch, *, clip_low: float, clip_high: float) -> Tensor:
    """[B, T]: the clipped surrogate of the response's ratio, given to each of its tokens."""
    mean = mean_over_tokens(tokens.logprobs - tokens.old_logprobs, tokens.mask).detach()
    ratio = mean.clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO).exp()[:, None]
    own_gradient = (tokens.logprobs - tokens.logprobs.detach()).exp()
    return clipped(ratio * own_gradient, tokens.advantages, clip_low, clip_high)


def gspo(*, clip_low: float = 3e-4, clip_high: float = 4e-4, eps: float = 1e-6) -> Algorithm:
    """The bounds are far below GRPO's, because a mean over tokens moves far less than one token."""
    return Algorithm(
        name="gspo",
        advantage=piece(group_normalised, eps=eps),
        surrogate=piece(response_clipped_surrogate, clip_low=clip_low, clip_high=clip_high),
        aggregate=piece(response_mean),
        unit="response",
    )
