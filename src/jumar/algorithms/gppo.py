"""GPPO: PPO's clip in the value of the loss only; clipped tokens keep a gradient of the size of the bound.

    L = 1/tokens * sum_i sum_t -A_i k_t                                                       A_i as in GRPO
    k = beta_high * (1 + clip_high) * r / sg(r)   where A > 0 and r > 1 + clip_high
        beta_low  * (1 - clip_low)  * r / sg(r)   where A < 0 and r < 1 - clip_low            r elsewhere

r / sg(r) is 1 with the slope of log pi, so a clipped token pulls like one that stands at its bound.

Paper: Klear-Reasoner: Advancing Reasoning Capability via Gradient-Preserving Clipping Policy Optimization, arXiv:2508.07629.   Code: https://github.com/Kwai-Klear/KlearReasoner, verl/trainer/ppo/core_algos.py.
Departs: beta_low = beta_high = 1 is the paper's; its authors later advise 0.25 or 0.5 for beta_low, which scale the value too. dual_clip = 10 is their scripts' (their function's default is 3), and above it a bad token does lose its gradient. Left out: their likelihood term on right responses (0.1) and their filter of groups. The unbiased std and eps = 1e-6 are verl's.   Elsewhere: absent from TRL and verl. Their `compute_gppo_loss` as released stops with a NameError; this is their general form. CE-GPPO (arXiv:2509.20712) is about the two betas. `cispo` too keeps every gradient, but caps all ratios, not only PPO's two clipped cases.   Changes: surrogate.
"""

from jumar.advantages.group import group_normalised
from jumar.algorithm import Algorithm
from jumar.pieces import piece
from jumar.surrogates.gradient_preserving import gradient_preserving_surrogate


def gppo(
    *,
    clip_low: float = 0.2,
    clip_high: float = 0.28,
    beta_low: float = 1.0,
    beta_high: float = 1.0,
    dual_clip: float | None = 10.0,
    eps: float = 1e-6,
) -> Algorithm:
    """beta_low = beta_high = 0 is PPO's gradient."""
    return Algorithm(
        name="gppo",
        advantage=piece(group_normalised, eps=eps),
        surrogate=piece(
            gradient_preserving_surrogate,
            clip_low=clip_low,
            clip_high=clip_high,
            beta_low=beta_low,
            beta_high=beta_high,
            dual_clip=dual_clip,
        ),
    )
