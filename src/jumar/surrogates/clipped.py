"""The clipped surrogate of PPO, with separate bounds and the dual clip."""

import torch
from torch import Tensor

from jumar.ops.ratio import ratio
from jumar.pieces import promises, reads
from jumar.types import TokenBatch


@promises("policy_gradient")
@reads("old_logprobs")
def clipped_surrogate(
    tokens: TokenBatch, *, clip_low: float, clip_high: float, dual_clip: float | None = None
) -> Tensor:
    """[B, T]: max(-A r, -A clip(r, 1 - clip_low, 1 + clip_high)).

    `dual_clip` bounds it from above by -A dual_clip where A < 0: there the first max lets a ratio
    that exploded through unbounded.
    """
    return clipped(ratio(tokens), tokens.advantages, clip_low, clip_high, dual_clip)


def clipped(
    r: Tensor, advantages: Tensor, clip_low: float, clip_high: float, dual_clip: float | None = None
) -> Tensor:
    """Elementwise over ratios and advantages of one shape, or shapes that broadcast on purpose."""
    plain = -advantages * r
    loss = torch.maximum(plain, -advantages * r.clamp(1 - clip_low, 1 + clip_high))
    return dual_clipped(loss, advantages, dual_clip)


def dual_clipped(loss: Tensor, advantages: Tensor, dual_clip: float | None) -> Tensor:
    """The loss, at most -A dual_clip where A < 0; as it is where dual_clip is None."""
    if dual_clip is None:
        return loss
    return torch.where(advantages < 0, torch.minimum(loss, -advantages * dual_clip), loss)
