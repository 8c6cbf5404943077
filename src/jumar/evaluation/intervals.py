"""95 % intervals that know that samples of one prompt belong together.

A score is the mean of one value in [0, 1] per prompt. Prompts are independent draws from a source;
the samples behind a value are not independent of each other. So the error bar is about new prompts,
and it is computed from the spread between prompts.

    share     The variance of the mean (cluster-robust, a cluster is a prompt) is turned into an
              effective sample size: how many independent samples would know the mean as well.

                  s^2 = variance of the values        p = their mean       P prompts, n samples each
                  design = s^2 / (p (1 - p))          in [1 / n, 1]        n_eff = P / design

              1 means that a prompt's samples all agree, 1 / n that they are independent: no
              exchangeable samples lie outside, so the design is held in that range. Wilson's score
              interval at n_eff then never leaves [0, 1] and does not collapse at 0 % or 100 %.
              With one sample per prompt n_eff is exactly P, and this is the textbook interval.

    rare      s^2 of values that are nearly all 0 (or 1) is itself a guess from very few prompts.
              The design is therefore computed with half a solved and half an unsolved prompt added.
              The score and the centre of the interval are not touched by this.

    change    Newcombe's square-and-add of the two Wilson intervals, with the correlation r of the
              two runs over the same prompts (0 for different prompts):

                  low  = d - sqrt(down^2 - 2 r down up' + up'^2)      down, up: from the new share
                  high = d + sqrt(up^2 - 2 r up down' + down'^2)      to its limits; ': the old one

              r is computed with one prompt won and one lost added: two runs that agree on all of P
              prompts differ by at most about 3 / P, as the rule of three says, not by exactly 0.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from jumar.engines.contract import Estimate

Z = 1.959963984540054  # two-sided 95 % of the normal distribution
PSEUDO_PROMPTS = 0.5  # solved, and as many unsolved, in the design; see "rare"
PSEUDO_PAIRS = 1.0  # won, and as many lost, in the correlation; see "change"

# two-sided 95 % of Student's t for 1 to 10 degrees of freedom; beyond, the series in `_student`
STUDENT = (12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622, 2.2281)

Values = NDArray[np.float64]


class Interval(NamedTuple):
    """From where to where."""

    low: float
    high: float


def share(values: Values, *, samples: float) -> Estimate:
    """The mean of [P] values in [0, 1], for new prompts from the same source.

    `samples`: how many stand behind each value (their harmonic mean where prompts differ).
    """
    p = float(np.mean(values))
    low, high = wilson(p, effective_size(values, samples=samples))
    return Estimate(p, low, high)


def mean(values: Values) -> Estimate:
    """The mean of [P] values of any size, by Student's t; one prompt alone bounds nothing."""
    centre = float(np.mean(values))
    if len(values) < 2:
        return Estimate(centre, -math.inf, math.inf)
    half = _student(len(values) - 1) * float(np.std(values, ddof=1)) / math.sqrt(len(values))
    return Estimate(centre, centre - half, centre + half)


def ratio(totals: Values, counts: Values) -> Estimate:
    """Sum of [P] totals over sum of [P] counts, as nats per token; linearised, by Student's t."""
    value = float(np.sum(totals) / np.sum(counts))
    spread = mean((totals - value * counts) / np.mean(counts))
    return Estimate(value, value + spread.low, value + spread.high)


def paired_difference(after: Values, before: Values, *, samples: tuple[float, float]) -> Estimate:
    """Mean of `after` minus mean of `before`, both [P] on the same prompts in the same order."""
    return _difference(after, before, samples, _correlation(after, before))


def unpaired_difference(after: Values, before: Values, *, samples: tuple[float, float]) -> Estimate:
    """Mean of `after` minus mean of `before`, [P] and [Q] on prompts drawn independently."""
    return _difference(after, before, samples, 0.0)


def effective_size(values: Values, *, samples: float) -> float:
    """How many independent samples would know the mean of these [P] values as well."""
    rows = len(values) + 2 * PSEUDO_PROMPTS
    p = (float(np.sum(values)) + PSEUDO_PROMPTS) / rows
    variance = (float(np.sum(np.square(values))) + PSEUDO_PROMPTS) / rows - p * p
    design = min(1.0, max(1.0 / samples, variance / (p * (1 - p))))
    return len(values) / design


def wilson(p: float, n: float) -> Interval:
    """Wilson's score interval of a share `p` of `n` independent samples."""
    shrink = 1 + Z * Z / n
    centre = (p + Z * Z / (2 * n)) / shrink
    half = Z / shrink * math.sqrt(p * (1 - p) / n + Z * Z / (4 * n * n))
    # rounding may leave the share itself outside by the last digit
    return Interval(max(0.0, min(p, centre - half)), min(1.0, max(p, centre + half)))


def _difference(
    after: Values, before: Values, samples: tuple[float, float], correlation: float
) -> Estimate:
    new, old = share(after, samples=samples[0]), share(before, samples=samples[1])
    change = new.value - old.value
    down = _third_side(new.value - new.low, old.high - old.value, correlation)
    up = _third_side(new.high - new.value, old.value - old.low, correlation)
    return Estimate(change, max(-1.0, change - down), min(1.0, change + up))


def _third_side(a: float, b: float, cosine: float) -> float:
    return math.sqrt(max(0.0, a * a - 2 * cosine * a * b + b * b))


def _correlation(after: Values, before: Values) -> float:
    pairs = PSEUDO_PAIRS
    rows = len(after) + 2 * pairs
    means = (np.sum(after) + pairs) / rows, (np.sum(before) + pairs) / rows
    spreads = [
        (np.sum(np.square(x)) + pairs) / rows - m * m
        for x, m in zip((after, before), means, strict=True)
    ]
    together = np.sum(after * before) / rows - means[0] * means[1]
    return float(together / math.sqrt(spreads[0] * spreads[1]))


def _student(freedom: int) -> float:
    """Two-sided 95 % of Student's t: a table, then Cornish and Fisher's series, good to 1e-4."""
    if freedom <= len(STUDENT):
        return STUDENT[freedom - 1]
    first = (Z**3 + Z) / 4
    second = (5 * Z**5 + 16 * Z**3 + 3 * Z) / 96
    third = (3 * Z**7 + 19 * Z**5 + 17 * Z**3 - 15 * Z) / 384
    return Z + first / freedom + second / freedom**2 + third / freedom**3
