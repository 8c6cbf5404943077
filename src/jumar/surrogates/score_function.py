"""The plain policy gradient: no ratio, no clip."""

from torch import Tensor

from jumar.pieces import promises
from jumar.types import TokenBatch


@promises("policy_gradient")
def score_function(tokens: TokenBatch) -> Tensor:
    """[B, T]: -A log pi."""
    return -tokens.advantages * tokens.logprobs
