import math
from typing import Any

import pytest
import torch
from torch import Tensor

from jumar import algorithms

from .hand import column, gradient_of, loss_of, near, tokens

FREE = {"kl_coef": 0.0}


def test_by_hand() -> None:
    batch = tokens(
        [[-1.0, -2.0], [-1.0], [-3.0]],
        old_logprobs=[[-1.0, -2.0], [-1.0], [-3.0]],
        correct=[True, False, False],
    )
    # right: s = -1.5; wrong: s = -1 and -3, 2 log((e^-0.5 + e^-1.5) / 2) = -1.759771
    near(loss_of(algorithms.disco(tau=2.0, **FREE), batch), 1.5 - 1.759771)
    # softmax(-0.5, -1.5) = 0.731059, 0.268941
    gradient = gradient_of(algorithms.disco(tau=2.0, **FREE), batch)
    near(gradient, [[-0.5, -0.5], [0.731059, 0], [0.268941, 0]])
    # without tau both wrong ones count the same: 1.5 + (-1 - 3) / 2
    near(loss_of(algorithms.disco(tau=None, **FREE), batch), -0.5)


def test_the_score_may_be_the_mean_ratio() -> None:
    batch = tokens(
        [[-1.0, -2.0], [-1.0]],
        old_logprobs=[[-1.0 - math.log(2), -2.0], [-1.0 - math.log(3)]],
        correct=[True, False],
    )
    # (2 + 1) / 2 against 3
    algorithm = algorithms.disco(score="ratio", tau=1.0, **FREE)
    near(loss_of(algorithm, batch), 1.5)
    near(gradient_of(algorithm, batch), [[-1.0, -0.5], [3.0, 0]])


def test_within_the_trust_region_the_constraint_costs_nothing_and_beyond_it_is_a_hinge() -> None:
    def constraint(moved: float) -> Tensor:
        batch = tokens([[-1.0 - moved, -1.0]], old_logprobs=[[-1.0, -1.0]], correct=[True])
        return gradient_of(algorithms.disco(kl_coef=100.0, kl_limit=0.1), batch)

    near(constraint(0.2), [[0.0, 0.0]], atol=1e-12)  # KL = 0.2 / 2, the limit itself
    # KL = 0.5: each of two tokens gets -100 * (0.5 - 0.1) / 2
    near(constraint(1.0), [[-20.0, -20.0]])


def total_push(right: int, wrong: int, algorithm: Any) -> float:
    """How much one group's right responses are raised altogether."""
    same = [[-1.0]] * (right + wrong)
    verdicts = [True] * right + [False] * wrong
    p = right / (right + wrong)
    std = math.sqrt(p * (1 - p))
    batch = tokens(
        same,
        old_logprobs=same,
        correct=verdicts,
        advantages=[(1 - p) / std if v else -p / std for v in verdicts],
    )
    return float(-gradient_of(algorithm, batch)[:right].sum())


def test_no_group_counts_more_for_its_difficulty() -> None:
    """The paper's first point: GRPO weighs a question by sqrt(p (1 - p)), this does not."""
    pushes = [total_push(k, 8 - k, algorithms.disco(**FREE)) for k in range(1, 8)]
    near(column(pushes), [1.0] * 7, atol=1e-12)
    grpo = [total_push(k, 8 - k, algorithms.grpo(kl_coef=0.0)) for k in range(1, 8)]
    near(column(grpo), [math.sqrt(k * (8 - k)) / 8 for k in range(1, 8)], atol=1e-9)


def test_the_likeliest_wrong_response_is_pushed_down_most_the_more_so_the_smaller_tau() -> None:
    """The paper's second point: with one right among many wrong, the mean forgets the hard ones."""
    same = [[-1.0], [-0.2], [-2.0], [-4.0]]
    batch = tokens(same, old_logprobs=same, correct=[True, False, False, False])
    soft, hard, plain = (
        gradient_of(algorithms.disco(tau=tau, **FREE), batch)[1:, 0] for tau in (10.0, 0.5, None)
    )
    near(plain, [1 / 3] * 3, atol=1e-12)
    assert hard[0] > soft[0] > plain[0] > hard[2]
    near(soft.sum(), 1.0, atol=1e-12)
    nearly = gradient_of(algorithms.disco(tau=1e6, **FREE), batch)[1:, 0]
    near(nearly, plain, atol=1e-5)


def test_a_group_of_one_kind_adds_nothing_but_is_counted() -> None:
    same = [[-1.0], [-2.0], [-1.0], [-1.0]]
    batch = tokens(same, old_logprobs=same, correct=[True, False, True, True], groups=[0, 0, 1, 1])
    near(gradient_of(algorithms.disco(**FREE), batch)[:, 0], [-0.5, 0.5, 0.0, 0.0])


@pytest.mark.parametrize(("score", "tau"), [("log_likelihood", 10.0), ("ratio", 1.0)])
def test_the_gradient_is_that_of_the_released_code(score: Any, tau: float) -> None:
    """Its arithmetic, read off core_algos: weights of wrong responses are a detached softmax."""
    g = torch.Generator().manual_seed(0)
    old = -torch.rand(12, 5, generator=g, dtype=torch.float64)
    now = (old + 0.1 * torch.randn(12, 5, generator=g, dtype=torch.float64)).requires_grad_()
    correct = torch.tensor([1, 0, 0, 1, 0, 0, 1, 0, 1, 1, 1, 1], dtype=torch.bool)
    per_token = now if score == "log_likelihood" else (now - old).exp()
    grouped, right = per_token.mean(dim=1).view(3, 4), correct.view(3, 4)
    theirs = torch.zeros((), dtype=torch.float64)
    for scores, mask in zip(grouped, right, strict=True):
        if mask.any() and not mask.all():
            weights = (scores[~mask] / tau).softmax(0).detach()
            theirs = theirs - scores[mask].mean() + (weights * scores[~mask]).sum()
    kl = (old - now).mean()
    theirs = theirs / 3 + (1e3 * (kl - 1e-4)).clamp(min=0).detach() * kl
    (expected,) = torch.autograd.grad(theirs, now)
    batch = tokens(
        now.detach(), old_logprobs=old, correct=correct, groups=[0] * 4 + [1] * 4 + [2] * 4
    )
    found = gradient_of(algorithms.disco(score=score, tau=tau), batch)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-14)
