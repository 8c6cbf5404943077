"""BNPO: divide by the density of a Beta distribution that follows how often the policy succeeds.

    p_g  = mean_g R                 m, v: mean and variance of p_g over the prompts of the batch
    c    = m (1 - m) / v - 1        a = c m, b = c (1 - m): the Beta distribution with these moments
    A_i  = (R_i - p_g) / Beta(p_g; max(1, 1 + a/3), max(1, 1 + b/3))
    L    = mean_i sum_t of the clipped surrogate of A_i

Beta(1, 1) is flat: the mean as baseline and no scale. Beta(3/2, 3/2) goes as sqrt(p (1 - p)): GRPO.

Paper: Xiao et al. 2025, BNPO: Beta Normalization Policy Optimization, arXiv:2506.02864.   Code: https://github.com/changyi7231/BNPO, recipe/bnpo/src/bnpo_ray_trainer.py.
Departs: prompts that all succeed alike (v = 0) get the flat density, where the code divides by 0; p is held within [0, 1]; a group of one has A = 0, where the code takes its p for 0 and divides R by the density there. Rewards are to be in [0, 1], as a verdict is. Left out: the advantage per reward of several, averaged (`gdpo` has one). clip_low, clip_high, dual_clip = 10 and max_scale = 1e6 are the released code's.   Elsewhere: TRL's loss type "bnpo" is another thing, a mean over the tokens of the local batch; absent from verl.   Changes: advantage.
"""

import torch
from torch import Tensor

from jumar.aggregates import response_sum
from jumar.algorithm import Algorithm
from jumar.ops.group import group_centred, group_mean, one_of_each
from jumar.pieces import piece, promises
from jumar.surrogates.clipped import clipped_surrogate
from jumar.types import RolloutBatch, Signals, State


@promises("group_centred")
def beta_normalised(
    rollout: RolloutBatch, state: State, *, max_scale: float
) -> tuple[Signals, State]:
    """[B]: (reward - mean of its group) over the density at that mean, at most `max_scale` times."""
    p = group_mean(rollout.rewards, rollout.group_ids).clamp(0, 1)
    alpha, beta = fitted_beta(p[one_of_each(rollout.group_ids)])
    scale = (-beta_log_density(p, alpha, beta)).exp().clamp(max=max_scale)
    scale = scale.where((p > 0) & (p < 1), 1.0)  # at both ends nothing differs
    centred = group_centred(rollout.rewards, rollout.group_ids)
    return Signals(advantages=centred * scale), state


def fitted_beta(p: Tensor) -> tuple[Tensor, Tensor]:
    """(alpha, beta), scalars: from the rates of success [prompts]; 1 and 1 where they are alike."""
    mean, variance = p.mean(), p.var() if len(p) > 1 else p.new_zeros(())
    concentration = torch.where(variance > 0, mean * (1 - mean) / variance - 1, 0.0)
    first, second = concentration * mean, concentration * (1 - mean)
    return (1 + first / 3).clamp(min=1), (1 + second / 3).clamp(min=1)


def beta_log_density(p: Tensor, alpha: Tensor, beta: Tensor) -> Tensor:
    """Elementwise, nats."""
    constant = torch.lgamma(alpha + beta) - torch.lgamma(alpha) - torch.lgamma(beta)
    return constant + torch.xlogy(alpha - 1, p) + torch.xlogy(beta - 1, 1 - p)


def bnpo(
    *,
    clip_low: float = 0.2,
    clip_high: float = 0.28,
    dual_clip: float | None = 10.0,
    max_scale: float = 1e6,
) -> Algorithm:
    """Wants many prompts in a batch: their rates of success are what the density is fitted to."""
    return Algorithm(
        name="bnpo",
        advantage=piece(beta_normalised, max_scale=max_scale),
        surrogate=piece(
            clipped_surrogate, clip_low=clip_low, clip_high=clip_high, dual_clip=dual_clip
        ),
        aggregate=piece(response_sum),
    )
