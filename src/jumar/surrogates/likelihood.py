"""Maximum likelihood: raise what was written, without asking how good it was."""

from torch import Tensor

from jumar.types import TokenBatch


def negative_log_likelihood(tokens: TokenBatch) -> Tensor:
    """[B, T] nats."""
    return -tokens.logprobs
