"""PPO's clip in the value of the loss only; clipped tokens keep a gradient."""

import torch
from torch import Tensor

from jumar.ops.ratio import ratio
from jumar.pieces import promises, reads
from jumar.surrogates.clipped import dual_clipped
from jumar.types import TokenBatch


@promises("policy_gradient")
@reads("old_logprobs")
def gradient_preserving_surrogate(
    tokens: TokenBatch,
    *,
    clip_low: float,
    clip_high: float,
    beta_low: float,
    beta_high: float,
    dual_clip: float | None,
) -> Tensor:
    """[B, T]: the clipped surrogate, through whose clipped tokens a gradient still flows."""
    r, advantages = ratio(tokens), tokens.advantages
    own_gradient = (tokens.logprobs - tokens.logprobs.detach()).exp()
    low = (advantages < 0) & (r < 1 - clip_low)
    high = (advantages > 0) & (r > 1 + clip_high)
    kept = torch.where(low, beta_low * (1 - clip_low) * own_gradient, r)
    kept = torch.where(high, beta_high * (1 + clip_high) * own_gradient, kept)
    return dual_clipped(-advantages * kept, advantages, dual_clip)
