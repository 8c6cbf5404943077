"""Every token weighs the same."""

import torch
from torch import Tensor

from jumar.types import TokenBatch


def unit_weight(tokens: TokenBatch) -> Tensor:
    """[B, T]: ones."""
    return torch.ones_like(tokens.logprobs)
