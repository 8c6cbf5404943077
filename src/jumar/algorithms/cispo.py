"""CISPO: clip the importance weight instead of the update, so that no token loses its gradient.

    L = 1/tokens * sum_i sum_t -sg(clip(r_t, ratio_min, ratio_max)) * A_i * log pi(y_t)       A_i as in GRPO

Paper: MiniMax 2025, MiniMax-M1, arXiv:2506.13585.   Code: none released.
Departs: the paper gives no lower bound and tunes the upper one without printing it, so ratio_max = 5 is ours, after ScaleRL (arXiv:2510.13786); the dynamic sampling and length penalty that it borrows from DAPO are left out.   Elsewhere: TRL's loss type "cispo" caps at an absolute epsilon_high, as here; verl's `cispo` clamps to [1 - clip_ratio_low, 1 + clip_ratio_high], whose defaults 0.8 and 1.2 are another method. Here, `dispo` has a range for good tokens and one for bad ones, and `gppo` clips only where PPO does, so that a bad token that grew keeps its whole ratio.   Changes: surrogate.
"""

from jumar.advantages.group import group_normalised
from jumar.algorithm import Algorithm
from jumar.pieces import piece
from jumar.surrogates.clipped_weight import clipped_weight_surrogate


def cispo(*, ratio_min: float = 0.0, ratio_max: float = 5.0, eps: float = 1e-6) -> Algorithm:
    """Bounds are absolute ratios, not offsets from 1."""
    return Algorithm(
        name="cispo",
        advantage=piece(group_normalised, eps=eps),
        surrogate=piece(clipped_weight_surrogate, ratio_min=ratio_min, ratio_max=ratio_max),
    )
