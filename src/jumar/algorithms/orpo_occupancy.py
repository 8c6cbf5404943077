"""ORPO-occupancy: PPO under a chi-squared divergence from the reference, so that a proxy reward cannot be hacked.

    l_i  = sum_t (log pi - log pi_ref)               chi2 = mean_i (exp(l_i) + exp(-l_i) - 2), linear beyond |l_i| = 10
    L    = L of PPO + chi2_coef * sqrt(max(chi2, 1e-4))

The loss under the root has on samples of pi the gradient of chi2(pi || pi_ref) / 2 + KL(pi_ref || pi): it
grows with exp(l), where a KL grows with l, so what the reference would hardly say is held back in time.
sqrt belongs to the whole step: chi2 comes from `batch_stats`, and each response gets its share.

Paper: Laidlaw et al. 2024, Correlated Proxies: A New Definition and Improved Mitigation for Reward Hacking, arXiv:2403.03185.   Code: https://github.com/cassidylaidlaw/llm_optimization, src/ppo/custom_trlx_trainers/modeling.py.
Departs: R is the verdict, the paper has a learned proxy reward; the clip, the critic and their settings are those of our `ppo`. chi2_coef = 8e-4 is the one of the released code's example.   Elsewhere: absent from TRL and verl. TRL's ORPO is odds-ratio preference optimization.   Changes: penalties.   Also called: orpo, chi2.
"""

from dataclasses import replace

import torch
from torch import Tensor

from jumar.aggregates import response_mean
from jumar.algorithm import Algorithm, Penalty
from jumar.algorithms.ppo import ppo
from jumar.ops.masked import response_sum
from jumar.pieces import piece, reads
from jumar.schedules import Schedule
from jumar.types import Metrics, TokenBatch

LINEAR_FROM = 10.0  # nats
FLOOR = 1e-4


@reads("ref_logprobs")
def chi_squared_terms(tokens: TokenBatch) -> Tensor:
    """[B]: exp(l) + exp(-l) - 2 of each response; 0 for one without a token."""
    far = response_sum(tokens.logprobs - tokens.ref_logprobs, tokens.mask).abs()
    near = far.clamp(max=LINEAR_FROM)
    return near.exp() * (1 + far - near) + (-far).exp() - 2


def chi_squared(tokens: TokenBatch) -> Metrics:
    """The divergence's estimate, summed over responses."""
    return {"chi2": (chi_squared_terms(tokens).sum(), tokens.mask.any(dim=1).sum())}


@reads("ref_logprobs")
def root_chi_squared(tokens: TokenBatch) -> Tensor:
    """[B]: the response's share of sqrt(chi2) of the step; a constant below the floor."""
    total, count = tokens.stats["chi2"]
    chi2 = total / count.clamp(min=1)
    root = chi2.clamp(min=FLOOR).sqrt()
    moving = (chi_squared_terms(tokens) - chi2) / (2 * root)
    return root + torch.where(chi2 > FLOOR, moving, 0.0)


def orpo_occupancy(
    *,
    chi2_coef: float | Schedule = 8e-4,
    clip_low: float = 0.2,
    clip_high: float = 0.2,
    gamma: float = 1.0,
    lam: float = 1.0,
    value_clip: float = 0.2,
    value_coef: float = 0.5,
) -> Algorithm:
    """The coefficient is in units of reward: how much of it the policy may give up to stay close."""
    plain = ppo(
        clip_low=clip_low,
        clip_high=clip_high,
        gamma=gamma,
        lam=lam,
        value_clip=value_clip,
        value_coef=value_coef,
    )
    return replace(
        plain,
        name="orpo_occupancy",
        penalties=(
            Penalty(
                name="root_chi2",
                coef=chi2_coef,
                piece=piece(root_chi_squared),
                aggregate=piece(response_mean),
            ),
        ),
        batch_stats=piece(chi_squared),
        unit="response",
    )
