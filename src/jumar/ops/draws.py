"""Random numbers that belong to a row: row order, ranks and resume do not matter."""

import torch
from torch import Tensor

_GOLDEN = -7046029254386353131  # 0x9E3779B97F4A7C15 as int64: the increment of splitmix64
_MIX = (-4658895280553007687, -7723592293110705685)  # its two multipliers


def _mixed(x: Tensor) -> Tensor:
    """int64: splitmix64's finaliser; torch's int64 arithmetic wraps around, as it should here."""
    for shift, multiplier in zip((30, 27), _MIX, strict=True):
        x = (x ^ ((x >> shift) & ((1 << (64 - shift)) - 1))) * multiplier
    return x ^ ((x >> 31) & ((1 << 33) - 1))


def row_hash(seed: int, step: int, prompt_ids: Tensor, sample_ids: Tensor) -> Tensor:
    """[B] int64: one well-mixed number per row, from (seed, step, prompt, sample)."""
    h = torch.full_like(prompt_ids, seed)
    for word in (torch.full_like(prompt_ids, step), prompt_ids, sample_ids):
        h = _mixed(h * _GOLDEN + _GOLDEN + word)
    return h


def row_uniform(seed: int, step: int, prompt_ids: Tensor, sample_ids: Tensor) -> Tensor:
    """[B] float64 in [0, 1): one draw per row."""
    bits = (row_hash(seed, step, prompt_ids, sample_ids) >> 11) & ((1 << 53) - 1)
    return bits.double() / (1 << 53)
