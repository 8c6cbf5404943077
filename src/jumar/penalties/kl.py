"""Penalties on the distance to another policy."""

from torch import Tensor

from jumar.ops.divergence import Divergence, KLEstimator, kl_estimate
from jumar.pieces import reads
from jumar.types import TokenBatch


@reads("{other}")
def sampled_kl(tokens: TokenBatch, *, kind: KLEstimator, other: str = "ref_logprobs") -> Tensor:
    """[B, T] nats: from the sampled tokens; ops/divergence.py has the trap of k1."""
    return kl_estimate(tokens.logprobs, tokens[other], kind=kind)


@reads("{divergence}")
def requested_divergence(
    tokens: TokenBatch, *, divergence: Divergence, sign: float = 1.0
) -> Tensor:
    """[B, T] nats: exact over the vocabulary; sign=-1 for an entropy bonus."""
    return sign * tokens[divergence.column]
