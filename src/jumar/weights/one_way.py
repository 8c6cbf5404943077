"""Weights by how far the policy is ahead of another one: OWPO's reference, RLSD's teacher."""

import math

from torch import Tensor


def lead_weight(lead: Tensor, w_min: float, w_max: float) -> Tensor:
    """Elementwise: exp(-lead) within [w_min, w_max]; `lead` in nats, > 0 where it is ahead."""
    # clamping the exponent, not its exp, keeps any log-ratio finite
    return (-lead).clamp(math.log(w_min), math.log(w_max)).exp()
