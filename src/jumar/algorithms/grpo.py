"""GRPO: PPO without a critic; a response is judged against the others to the same prompt.

    A_i = (R_i - mean_g R) / (std_g R + eps)                    r_t = pi(y_t) / pi_old(y_t)
    L   = mean_i mean_t max(-A_i r_t, -A_i clip(r_t, 1 - clip_low, 1 + clip_high)) + kl_coef * k3(pi, pi_ref)

Paper: Shao et al. 2024, DeepSeekMath, arXiv:2402.03300.   Code: none released.
Departs: the paper does not state its clip range, its kind of std or its eps; 0.2, unbiased and eps = 1e-6 are verl's.   Elsewhere: TRL has eps = 1e-4, kl_coef = 0 and the loss type "dapo" by default, "grpo" with use_bias_correction_kl=False is this (its default weights k3 by the ratio, which turns the gradient into that of the reverse KL); verl's `grpo` has eps = 1e-6, a dual clip of 3 that is always on, cuts k3 at 10, and gives a group of one its raw reward (0 here).   Changes: advantage.
"""

from jumar.advantages.group import group_normalised
from jumar.aggregates import response_mean
from jumar.algorithm import Algorithm, Penalty
from jumar.penalties.kl import sampled_kl
from jumar.pieces import piece
from jumar.schedules import Schedule
from jumar.surrogates.clipped import clipped_surrogate


def grpo(
    *,
    clip_low: float = 0.2,
    clip_high: float = 0.2,
    kl_coef: float | Schedule = 0.04,
    eps: float = 1e-6,
) -> Algorithm:
    """kl_coef = 0 leaves the reference out altogether: neither loaded nor computed."""
    kl = Penalty(name="kl", coef=kl_coef, piece=piece(sampled_kl, kind="k3"))
    return Algorithm(
        name="grpo",
        advantage=piece(group_normalised, eps=eps),
        surrogate=piece(clipped_surrogate, clip_low=clip_low, clip_high=clip_high),
        penalties=(kl,) if kl_coef else (),
        aggregate=piece(response_mean),
    )
