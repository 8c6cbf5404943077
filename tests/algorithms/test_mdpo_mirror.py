import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from jumar import algorithms
from jumar.algorithm import policy_loss
from jumar.algorithms.mdpo_mirror import proximal_kl
from jumar.types import LossScale

from .arms import TEACHER, THETA, exact_gradient, reverse_kl
from .hand import gradient_of, loss_of, near, tokens

CONSTANT = {"kl_coef_end": 1.0}


def test_by_hand() -> None:
    batch = tokens(
        [[-1.0], [-2.0]],
        old_logprobs=[[-1.0 - math.log(2)], [-2.0 + math.log(2)]],
        advantages=[1.0, -1.0],
    )
    # r = 2: -2 + (2 log 2 - 1); r = 1/2: 1/2 + (-log(2) / 2 - 1/2 + 1); over two tokens
    expected = (-2 + 2 * 0.693147 - 1 + 0.5 - 0.346574 + 0.5) / 2
    near(loss_of(algorithms.mdpo_mirror(**CONSTANT), batch), expected)
    # -A r + r log r, over two: (-2 + 2 log 2) / 2 and (1/2 - log(2) / 2) / 2
    gradient = gradient_of(algorithms.mdpo_mirror(**CONSTANT), batch)
    near(gradient[:, 0], [-0.306853, 0.076713])


@pytest.mark.parametrize(("step", "weight"), [(0, 1.0), (50, 2.0), (75, 4.0), (100, 4.0)])
def test_steps_get_smaller_as_one_over_what_is_left_of_the_run(step: int, weight: float) -> None:
    """t = 1 - k / 100 down to 1/4, and there it stays."""
    batch = tokens([[-1.0]], old_logprobs=[[-1.0 - math.log(2)]], advantages=[0.0])
    scale = replace(LossScale.of(batch), step=step)
    algorithm = algorithms.mdpo_mirror(kl_coef_end=4.0, kl_steps=75)
    near(policy_loss(algorithm, batch, scale).loss, weight * (2 * math.log(2) - 1))


def over_old(theta: Tensor, old: Tensor) -> Tensor:
    """[4]: the gradient in the logits of the KL's estimate, averaged over tokens of `old`."""
    leaf = theta.clone().requires_grad_()
    batch = tokens(leaf.log_softmax(0)[:, None], old_logprobs=old[:, None])
    (gradient,) = torch.autograd.grad((old.exp() * proximal_kl(batch)[:, 0]).sum(), leaf)
    return gradient


def test_the_penalty_is_the_kl_and_its_gradient_the_kls_without_bias() -> None:
    batch = tokens(THETA.log_softmax(0)[:, None], old_logprobs=TEACHER[:, None])
    estimates = proximal_kl(batch)[:, 0]
    assert (estimates >= 0).all()
    near((TEACHER.exp() * estimates).sum(), reverse_kl(THETA.log_softmax(0)), atol=1e-12)
    near(over_old(THETA, TEACHER), exact_gradient(reverse_kl, THETA), atol=1e-12)


@pytest.mark.parametrize("coef", [0.5, 1.0, 4.0])
def test_the_optimum_of_a_rollout_is_the_mirror_descent_step(coef: float) -> None:
    """pi_old exp(A / c) / Z, the paper's closed form, has no gradient."""
    advantages = torch.tensor([1.0, -0.5, 0.25, 0.0], dtype=torch.float64)
    star = (TEACHER + advantages / coef).log_softmax(0).requires_grad_()
    batch = tokens(
        star.log_softmax(0)[:, None], old_logprobs=TEACHER[:, None], advantages=advantages
    )
    algorithm = algorithms.mdpo_mirror(kl_coef=coef, kl_coef_end=coef)
    (penalty,) = algorithm.penalties
    losses = algorithm.surrogate(batch) + coef * penalty.piece(batch)
    (gradient,) = torch.autograd.grad((TEACHER.exp() * losses[:, 0]).sum(), star)
    near(gradient, [0.0] * 4, atol=1e-12)


def test_what_left_the_clip_range_is_still_pulled_back() -> None:
    """A right response that grew tenfold has no gradient under the clip, and comes back here."""
    batch = tokens([[-1.0]], old_logprobs=[[-1.0 - math.log(10)]], advantages=[1.0])
    assert gradient_of(algorithms.grpo(kl_coef=0.0), batch) == 0
    near(gradient_of(algorithms.mdpo_mirror(**CONSTANT), batch), [[10 * (math.log(10) - 1)]])
