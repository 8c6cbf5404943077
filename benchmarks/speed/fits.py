"""Exponents of costs."""

from collections.abc import Sequence

import numpy as np


def exponent(xs: Sequence[float], ys: Sequence[float]) -> float:
    """The slope in logarithms: twice as much costs 2 ** exponent times as much."""
    return float(np.polyfit(np.log(xs), np.log(ys), 1)[0])


def last_exponent(xs: Sequence[float], ys: Sequence[float]) -> float:
    """The same between the two largest."""
    return exponent(xs[-2:], ys[-2:])
