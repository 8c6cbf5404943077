"""Weights against a sampler that computes otherwise than the trainer.

    r            pi_old / mu           token: of each token; response: the product over its tokens;
                                       geometric: that product to the power 1 / tokens
    truncated    r within [ratio_min, ratio_max], or the nearest bound           TIS
    masked       r within [ratio_min, ratio_max], else 0                         MIS, IcePop

pi_old is the trainer before its first update on the rollout, mu what the sampler says it drew from.
Where the two agree, the weight is exactly 1.
"""

from typing import Literal

from torch import Tensor

from jumar.ops.masked import response_mean, response_sum
from jumar.ops.ratio import MAX_LOG_RATIO
from jumar.pieces import Piece, reads
from jumar.types import TokenBatch

Level = Literal["token", "response", "geometric"]


@reads("old_logprobs", "rollout_logprobs")
def truncated_correction(
    tokens: TokenBatch, *, level: Level, ratio_min: float, ratio_max: float
) -> Tensor:
    """[B, T]: trainer over sampler, or the nearest bound."""
    return sampler_ratio(tokens, level).clamp(ratio_min, ratio_max)


@reads("old_logprobs", "rollout_logprobs")
def masked_correction(
    tokens: TokenBatch, *, level: Level, ratio_min: float, ratio_max: float
) -> Tensor:
    """[B, T]: trainer over sampler; 0 outside the bounds."""
    ratio = sampler_ratio(tokens, level)
    return ratio.masked_fill(outside(ratio, ratio_min, ratio_max), 0)


def sampler_ratio(tokens: TokenBatch, level: Level) -> Tensor:
    """[B, T]: pi_old / mu, the same for each token of a response unless the level is "token"."""
    log_ratio = (tokens.old_logprobs - tokens.rollout_logprobs).detach()
    if level != "token":
        over_tokens = response_sum if level == "response" else response_mean
        log_ratio = over_tokens(log_ratio, tokens.mask)[:, None].expand_as(tokens.mask)
    return log_ratio.clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO).exp()


def outside(ratio: Tensor, ratio_min: float, ratio_max: float) -> Tensor:
    """Elementwise bool: beyond a bound; the bounds themselves are inside."""
    return (ratio < ratio_min) | (ratio > ratio_max)


def product(tokens: TokenBatch, *, first: Piece, second: Piece) -> Tensor:
    """[B, T]: two weights at once."""
    weight: Tensor = first(tokens) * second(tokens)
    return weight
