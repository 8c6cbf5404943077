import math

import torch

from jumar import algorithms
from jumar.schedules import linear

from .hand import advantages, gradient_of, loss_of, near, rollout, tokens


def test_advantages_by_hand() -> None:
    # mean 0.25; squares 0.5625 + 3 * 0.0625 = 0.75; over 3 it is 0.25; std 0.5
    a = advantages(algorithms.grpo(), rollout([1.0, 0.0, 0.0, 0.0]))
    near(a[:, 0], [1.5, -0.5, -0.5, -0.5], atol=1e-5)


def test_two_groups_do_not_see_each_other() -> None:
    # {1, 0}: deviations 0.5, std sqrt(0.5) = 0.707107, so A = 0.707107; {5, 9}: the same
    a = advantages(algorithms.grpo(), rollout([1.0, 5.0, 0.0, 9.0], groups=[3, 8, 3, 8]))
    near(a[:, 0], [0.707107, -0.707107, -0.707107, 0.707107], atol=1e-5)


def test_loss_and_gradient_by_hand() -> None:
    logprobs = [[-1.0], [-1.0], [-1.0], [-1.0]]
    ratios = [1.5, 0.5, 1.5, 1.0]
    batch = tokens(
        logprobs,
        old_logprobs=[[-1.0 - math.log(r)] for r in ratios],
        ref_logprobs=[[-1.5], [-1.0], [-1.0], [-1.0]],
        advantages=[1.5, -0.5, -0.5, -0.5],
    )
    # A = 1.5, r = 1.5: max(-2.25, -1.5 * 1.2) = -1.8, clipped
    # A = -0.5, r = 0.5: max(0.25, 0.5 * 0.8) = 0.4, clipped
    # A = -0.5, r = 1.5: max(0.75, 0.6) = 0.75        A = -0.5, r = 1: 0.5
    # k3 of u = 0.5: exp(-0.5) + 0.5 - 1 = 0.106531; mean 0.026633; times 0.04: 0.001065
    near(loss_of(algorithms.grpo(), batch), (-1.8 + 0.4 + 0.75 + 0.5) / 4 + 0.001065)
    # the KL alone moves the first: 0.04 / 4 * (1 - exp(-0.5)) = 0.01 * 0.393469
    near(gradient_of(algorithms.grpo(), batch)[:, 0], [0.003935, 0.0, 0.1875, 0.125])


def test_each_response_weighs_the_same_however_long() -> None:
    same = [[-1.0], [-1.0, -1.0, -1.0, -1.0]]
    batch = tokens(same, old_logprobs=same, advantages=[1.0, 1.0])
    gradient = gradient_of(algorithms.grpo(kl_coef=0.0), batch)
    near(gradient[0], [-0.5, 0, 0, 0])
    near(gradient[1], [-0.125] * 4)


def test_the_advantage_forgets_scale_and_offset_of_the_reward() -> None:
    algorithm = algorithms.grpo(eps=0.0)
    rewards = torch.tensor([0.1, 0.9, 0.4, 0.4])
    torch.testing.assert_close(
        advantages(algorithm, rollout(rewards.tolist())),
        advantages(algorithm, rollout((7 * rewards - 3).tolist())),
    )


def test_without_a_coefficient_the_reference_is_not_read() -> None:
    assert "ref_logprobs" not in algorithms.grpo(kl_coef=0.0).reads
    assert "ref_logprobs" in algorithms.grpo(kl_coef=linear(0.0, 0.1, 5)).reads
