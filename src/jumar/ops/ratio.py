"""Importance ratios. The exponent is clamped, so a log-ratio of 1e4 nats stays finite."""

from torch import Tensor

from jumar.types import TokenBatch

MAX_LOG_RATIO = 20.0  # nats: e^20 is 5e8, beyond any ratio that a clip would let through


def log_ratio(tokens: TokenBatch) -> Tensor:
    """[B, T] nats: log pi - log pi_old, within +-20."""
    return (tokens.logprobs - tokens.old_logprobs).clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO)


def ratio(tokens: TokenBatch) -> Tensor:
    """[B, T]: pi / pi_old per token."""
    return log_ratio(tokens).exp()
