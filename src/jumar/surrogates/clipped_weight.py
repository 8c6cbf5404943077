"""The policy gradient under a clipped importance weight, so that no token loses its gradient."""

from torch import Tensor

from jumar.ops.ratio import ratio
from jumar.pieces import promises, reads
from jumar.types import TokenBatch


@promises("policy_gradient")
@reads("old_logprobs")
def clipped_weight_surrogate(tokens: TokenBatch, *, ratio_min: float, ratio_max: float) -> Tensor:
    """[B, T]: -sg(clip(r)) A log pi."""
    weight = ratio(tokens).detach().clamp(ratio_min, ratio_max)
    return -weight * tokens.advantages * tokens.logprobs
