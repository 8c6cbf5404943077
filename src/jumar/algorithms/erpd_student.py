"""ERPD student: distil what one frozen policy says more often than another, token by token, inside PPO's clip.

    s = log pi_numerator(y_t) - log pi_denominator(y_t)                of a stored batch: the column `signal`
    A = s whitened over all tokens of the batch, after the mask on positives
    L = 1/tokens * sum_i sum_t max(-A r_t, -A clip(r_t, 1 - clip_low, 1 + clip_high)) + kl_coef * k2(pi, pi_old) - entropy_coef * H(pi)

The policies may be an extreme teacher over the policy that sampled, or a recovered over an unlearned
one: `programs/erpd.py` makes them. The verifier has no further say, save for which responses the mask
is for: positives="below" keeps min(s, 0) of correct responses, "above" max(s, 0). With moving, what the
student has gained on pi_old is subtracted from s as it goes, so it comes to rest at the teacher.

Paper: Chen et al. 2026, Extreme Region Policy Distillation, arXiv:2605.25582, eq. 9.   Code: none released that we found.
Departs: the clip range of eq. 9 is not in our copy of the paper; that of its GRPO baseline stands in. One mean over all tokens, whitening over the whole batch and the form of the two controls (k2 towards the sampling policy, exact entropy over the vocabulary) are ours; the paper weighs them with 0.001 to 0.2 and with 0.5 where it uses them.   Elsewhere: absent from TRL and verl.   Changes: teacher.
"""

from typing import Literal

import torch
from torch import Tensor

from jumar.algorithm import Algorithm, Penalty
from jumar.ops.divergence import Divergence
from jumar.ops.masked import whitened
from jumar.ops.ratio import log_ratio, ratio
from jumar.penalties.kl import requested_divergence, sampled_kl
from jumar.pieces import makes, piece, promises, reads
from jumar.schedules import Schedule
from jumar.surrogates.clipped import clipped, clipped_surrogate
from jumar.types import RolloutBatch, Signals, State, TokenBatch

Positives = Literal["all", "below", "above"]


@makes("signal_std")
@reads("signal")
def whitened_signal(
    rollout: RolloutBatch, state: State, *, positives: Positives
) -> tuple[Signals, State]:
    """[B, T]: mean 0 and std 1 over all tokens; a signal that is the same everywhere gives 0."""
    bounds = {"all": (None, None), "below": (None, 0.0), "above": (0.0, None)}
    low, high = bounds[positives]
    signal = rollout.signal
    if positives != "all":
        signal = torch.where(rollout.correct[:, None], signal.clamp(low, high), signal)
    std = signal[rollout.mask].std() if rollout.mask.sum() > 1 else signal.new_tensor(0.0)
    columns = {"signal_std": std.expand(len(rollout))}
    return Signals(advantages=whitened(signal, rollout.mask), columns=columns), state


@promises("policy_gradient")
@reads("old_logprobs", "signal_std")
def moving_surrogate(tokens: TokenBatch, *, clip_low: float, clip_high: float) -> Tensor:
    """[B, T]: the clipped surrogate of the signal minus what the student has gained already."""
    gained = log_ratio(tokens).detach() / tokens.signal_std.clamp(min=1e-4)[:, None]
    return clipped(ratio(tokens), tokens.advantages - gained, clip_low, clip_high)


def erpd_student(
    *,
    positives: Positives = "all",
    moving: bool = False,
    clip_low: float = 0.2,
    clip_high: float = 0.28,
    kl_coef: float | Schedule = 0.0,
    entropy_coef: float | Schedule = 0.0,
) -> Algorithm:
    """For a stored batch with its signal; a coefficient of 0 leaves the term out altogether.

    `moving` is for a signal over the policy that sampled: its denominator becomes the student.
    """
    kl = Penalty(name="kl", coef=kl_coef, piece=piece(sampled_kl, kind="k2", other="old_logprobs"))
    entropy = Penalty(
        name="negative_entropy",
        coef=entropy_coef,
        piece=piece(requested_divergence, divergence=Divergence(kind="entropy"), sign=-1.0),
    )
    return Algorithm(
        name="erpd_student",
        advantage=piece(whitened_signal, positives=positives),
        surrogate=piece(
            moving_surrogate if moving else clipped_surrogate,
            clip_low=clip_low,
            clip_high=clip_high,
        ),
        penalties=tuple(term for term in (kl, entropy) if term.coef),
    )
