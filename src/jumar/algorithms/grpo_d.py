"""GRPO-D: GRPO whose KL coefficient first falls, to explore, and then rises, to keep what was found.

    w       = 0.3 * steps
    kl_coef = from (kl_min + kl_max) / 2 to kl_min in the first w rollouts, then from kl_min to kl_max
    L       = GRPO's with that coefficient

Paper: Liu et al. 2025, OThink-MR1: Stimulating multimodal generalized reasoning capabilities via dynamic reinforcement learning, arXiv:2503.16081.   Code: none released.
Departs: kl_min = 0.04 and kl_max = 0.1 are the paper's for counting (0 and 0.02 for geometry); steps = 200 is ours, set it to the rollouts of your run. The task is not multimodal, and the reward for the format is the verifier's affair.   Elsewhere: absent from TRL and verl, whose adaptive coefficient follows the KL instead of the step.   Changes: penalties.
"""

from dataclasses import replace

from jumar.algorithm import Algorithm
from jumar.algorithms.grpo import grpo
from jumar.schedules import Schedule


def falling_then_rising(kl_min: float, kl_max: float, steps: int, falling: float) -> Schedule:
    """From the middle of both down to `kl_min` in a fraction of `steps`, then up to `kl_max`."""
    first = round(falling * steps)
    rising = Schedule(start=kl_min, end=kl_max, steps=steps - first)
    return Schedule(start=(kl_min + kl_max) / 2, end=kl_min, steps=first, then=rising)


def grpo_d(
    *,
    kl_min: float = 0.04,
    kl_max: float = 0.1,
    steps: int = 200,
    falling: float = 0.3,
    clip_low: float = 0.2,
    clip_high: float = 0.2,
    eps: float = 1e-6,
) -> Algorithm:
    """`steps` in rollouts, `falling` the fraction of them in which the coefficient goes down."""
    coef = falling_then_rising(kl_min, kl_max, steps, falling)
    return replace(
        grpo(clip_low=clip_low, clip_high=clip_high, kl_coef=coef, eps=eps), name="grpo_d"
    )
