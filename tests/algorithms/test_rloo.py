from itertools import product

import torch
from torch import Tensor

from jumar import algorithms
from jumar.algorithm import Algorithm

from .hand import advantages, gradient_of, loss_of, near, rollout, tokens


def test_by_hand() -> None:
    a = advantages(algorithms.rloo(), rollout([1.0, 0.0, 0.5]))[:, 0]
    # 1 - 0.25, 0 - 0.75, 0.5 - 0.5
    near(a, [0.75, -0.75, 0.0])
    batch = tokens([[-1.5, -0.5], [-1.0], [-4.0]], advantages=a)
    # a third of 0.75 * 2 - 0.75 * 1 + 0
    near(loss_of(algorithms.rloo(), batch), 0.25)
    near(gradient_of(algorithms.rloo(), batch), [[-0.25, -0.25], [0.25, 0], [0, 0]])


def test_a_group_of_one_has_no_others_and_no_advantage() -> None:
    a = advantages(algorithms.rloo(), rollout([1.0, 1.0, 0.0], groups=[0, 1, 1]))
    near(a[:, 0], [0.0, 1.0, -1.0])


THETA = torch.tensor([0.2, -0.5, 0.9], dtype=torch.float64)
REWARD = torch.tensor([1.0, 0.3, -0.4], dtype=torch.float64)


def expected_gradient(algorithm: Algorithm, n: int) -> Tensor:
    """Over all ways to draw n responses of three."""
    total = torch.zeros(3, dtype=torch.float64)
    for drawn in product(range(3), repeat=n):
        theta = THETA.clone().requires_grad_()
        logprobs = theta.log_softmax(0)[list(drawn)]
        a = advantages(algorithm, rollout(REWARD[list(drawn)].tolist()))
        batch = tokens(logprobs[:, None], old_logprobs=logprobs.detach()[:, None], advantages=a)
        (gradient,) = torch.autograd.grad(loss_of(algorithm, batch), theta)
        total += logprobs.detach().sum().exp() * gradient
    return total


def exact_gradient() -> Tensor:
    theta = THETA.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(-(theta.softmax(0) * REWARD).sum(), theta)
    return gradient


def test_leaving_one_out_is_unbiased() -> None:
    for n in (2, 3):
        torch.testing.assert_close(expected_gradient(algorithms.rloo(), n), exact_gradient())


def test_the_mean_of_the_whole_group_shrinks_the_gradient_by_one_nth() -> None:
    """What RLOO mends: the response is part of its own baseline."""
    shrunk = expected_gradient(algorithms.dr_grpo(length=1), 3)
    torch.testing.assert_close(shrunk, exact_gradient() * 2 / 3)
