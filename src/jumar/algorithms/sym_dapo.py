"""Sym-DAPO: DAPO that is pulled back to a reference, whatever the verifier says of the deviation.

    L = clipped surrogate of DAPO + kl_coef * u^2 / 2           u = log pi - log pi_ref

On-policy a token's slope is A - kl_coef * u, so the pull reverses the update from
sign(A) * u = |A| / kl_coef on (`ops/divergence.py`, force_reversal); OWPO's weight never does.

Paper: the baseline of One-Way Policy Optimization for Self-Evolving LLMs, arXiv:2605.22156, sec. 5.1 and App. B.   Code: none released.
Departs: the coefficients searched and the estimator of the KL are not in our copy of the paper; kl_coef = 0.001 and k2, the estimator whose gradient is that of the reverse KL, are ours. The rest is our `dapo`.   Elsewhere: verl's DAPO settings with use_kl_loss and kl_loss_type="k2"; TRL's loss type "dapo" with beta > 0 has k3 only. k1 inside the advantage has k2's gradient at the first update; k1 as a loss has none.   Changes: penalties.
"""

from dataclasses import replace
from typing import Literal

from jumar.algorithm import Algorithm, Penalty
from jumar.algorithms.dapo import dapo
from jumar.penalties.kl import sampled_kl
from jumar.pieces import piece
from jumar.schedules import Schedule


def sym_dapo(
    *,
    kl_coef: float | Schedule = 0.001,
    estimator: Literal["k2", "k3"] = "k2",
    clip_low: float = 0.2,
    clip_high: float = 0.28,
    overlong_limit: int = 20480,
    overlong_cache: int = 4096,
) -> Algorithm:
    """The control of OWPO: the same reference, used in either direction; none where kl_coef is 0."""
    plain = dapo(
        clip_low=clip_low,
        clip_high=clip_high,
        overlong_limit=overlong_limit,
        overlong_cache=overlong_cache,
    )
    kl = Penalty(name="kl", coef=kl_coef, piece=piece(sampled_kl, kind=estimator))
    return replace(plain, name="sym_dapo", penalties=(kl,) if kl_coef else ())
