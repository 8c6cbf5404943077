"""Ratios of turns that lie side by side, their median, and how sure it is."""

from collections.abc import Sequence
from math import comb
from statistics import median
from typing import NamedTuple

LEAST = 6  # pairs: with fewer no interval of the median holds it with 95 %


class Ratio(NamedTuple):
    """How many times as long the other one takes, and the 95 % interval of the median."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.2f} [{self.low:.2f}, {self.high:.2f}]"


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> Ratio:
    """Of pairs: theirs over ours. The interval is that of the sign test, for any distribution."""
    found = sorted(b / a for a, b in zip(ours, theirs, strict=True))
    outside = rank(len(found))
    return Ratio(median(found), found[outside], found[-1 - outside])


def rank(count: int) -> int:
    """How many pairs at each end may be left out, so that 95 % still lie inside."""
    tail, left = 0.0, 0
    while (tail := tail + comb(count, left) / 2**count) <= 0.025:
        left += 1
    return max(0, left - 1)
