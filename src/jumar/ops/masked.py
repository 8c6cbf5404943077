"""Sums and means over response tokens."""

import torch
from torch import Tensor


def token_counts(mask: Tensor) -> Tensor:
    """[B]: tokens per response, at least 1, so that an empty response divides to 0."""
    return mask.sum(dim=1).clamp(min=1)


def response_sum(x: Tensor, mask: Tensor) -> Tensor:
    """[B]: the sum over each response's tokens."""
    return x.masked_fill(~mask, 0).sum(dim=1)


def response_mean(x: Tensor, mask: Tensor) -> Tensor:
    """[B]: the mean over each response's tokens."""
    return response_sum(x, mask) / token_counts(mask)


def remaining_sum(x: Tensor, mask: Tensor) -> Tensor:
    """[B, T]: the sum over each token and those after it in its response."""
    return x.masked_fill(~mask, 0).flip(1).cumsum(dim=1).flip(1)


def spread(x: Tensor, mask: Tensor) -> Tensor:
    """[B, T]: one number per response, given to each of its tokens; [B, T] stays as it is."""
    return (x[:, None] if x.dim() == 1 else x).expand_as(mask).masked_fill(~mask, 0)


def at_last_token(x: Tensor, mask: Tensor) -> Tensor:
    """[B, T]: one number per response, on its last token."""
    positions = torch.arange(mask.shape[1], device=mask.device)
    last = torch.where(mask, positions, -1).amax(dim=1, keepdim=True)
    return x[:, None] * (mask & (positions == last))


def whitened(x: Tensor, mask: Tensor, eps: float = 1e-8) -> Tensor:
    """[B, T]: mean 0 and unbiased variance 1 over all tokens; all equal gives 0."""
    n = mask.sum()
    mean = (x * mask).sum() / n.clamp(min=1)
    centred = (x - mean) * mask
    variance = centred.square().sum() / (n - 1).clamp(min=1)
    return centred * torch.rsqrt(variance + eps)
