"""VeRPO: each test that a program passes earns by how hard it is, beside passing all of them.

    p_j = share of the group that passes test j             N_j = sum over tests k of exp(-(p_j - p_k)^2 / (2 sigma^2))
    w_j = exp(-alpha p_j) / N_j, scaled to sum 1            T_i = sum over tests that i passes of w_j
    A_i = (R_i - mean_g R) + beta (T_i - mean_g T)                                          L as GRPO's

Tests that hardly anyone passes weigh more, and of many tests that are passed alike none weighs much.

Paper: VeRPO: Verifiable Dense Reward Policy Optimization for Code Generation, arXiv:2601.03525, eq. 7-14.   Code: none released that we know of.
Departs: we have an account of the paper's equations without its constants: alpha = 2, sigma = 0.1 and beta = 1 are ours, and so is the scale of w, in place of the paper's delta. One turn, so the discount by the number of turns is left out. A is not divided by the std, as the paper advises; the mean over all tokens is ours.   Elsewhere: absent from TRL and verl.   Changes: advantage.
"""

import torch
from torch import Tensor

from jumar.algorithm import Algorithm
from jumar.ops.group import group_centred
from jumar.pieces import piece, reads
from jumar.surrogates.clipped import clipped_surrogate
from jumar.types import RolloutBatch, Signals, State


def dense_reward(rollout: RolloutBatch, *, alpha: float, sigma: float) -> Tensor:
    """[B] in [0, 1]: the weights of the tests that were passed; a part of the score is a test."""
    passed, earned = rollout.reward_parts, torch.zeros_like(rollout.rewards)
    for group in torch.unique(rollout.group_ids):
        rows = (rollout.group_ids == group).nonzero()[:, 0]
        tests = passed[rows][:, ~passed[rows].isnan().any(dim=0)]
        earned[rows] = (tests @ difficulty_weights(tests.mean(dim=0), alpha, sigma)).to(earned)
    return earned


def difficulty_weights(rates: Tensor, alpha: float, sigma: float) -> Tensor:
    """[tests], sum 1: from the rate at which each test is passed."""
    apart = (rates[:, None] - rates[None, :]).square()
    density = (-apart / (2 * sigma**2)).exp().sum(dim=1)
    weight = (-alpha * rates).exp() / density
    return weight / weight.sum()


@reads("reward_parts")
def outcome_and_tests(
    rollout: RolloutBatch, state: State, *, alpha: float, sigma: float, beta: float
) -> tuple[Signals, State]:
    """[B]: distance from the group's mean, of the verdict and of what the tests earned."""
    tests = dense_reward(rollout, alpha=alpha, sigma=sigma)
    total = rollout.rewards + beta * tests
    return Signals(advantages=group_centred(total, rollout.group_ids)), state


def verpo(
    *,
    alpha: float = 2.0,
    sigma: float = 0.1,
    beta: float = 1.0,
    clip_low: float = 0.2,
    clip_high: float = 0.2,
) -> Algorithm:
    """The verifier reports a part of the score for each test; beta = 0 looks at the verdict alone."""
    return Algorithm(
        name="verpo",
        advantage=piece(outcome_and_tests, alpha=alpha, sigma=sigma, beta=beta),
        surrogate=piece(clipped_surrogate, clip_low=clip_low, clip_high=clip_high),
    )
