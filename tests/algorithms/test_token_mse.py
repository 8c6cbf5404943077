import math

import pytest
import torch
from torch.nn.functional import logsigmoid

from jumar import algorithms

from .hand import gradient_of, loss_of, near, tokens

MSE = algorithms.token_mse()


def logs(*rows: list[float]) -> list[list[float]]:
    return [[math.log(p) for p in row] for row in rows]


def test_by_hand() -> None:
    batch = tokens(logs([0.9, 0.5], [0.8]), correct=[True, False])
    # 0.1^2 + 0.5^2 + 0.8^2 = 0.9; over three tokens
    near(loss_of(MSE, batch), 0.3)
    # 2 (pi - R) pi / 3: -0.18, -0.5 and 1.28
    near(gradient_of(MSE, batch), [[-0.06, -0.166667], [0.426667, 0.0]])


def test_wrong_responses_may_weigh_less_by_hand() -> None:
    batch = tokens(logs([0.9, 0.5], [0.8]), correct=[True, False])
    half = algorithms.token_mse(negative_weight=0.5)
    near(loss_of(half, batch), (0.01 + 0.25 + 0.32) / 3)
    near(gradient_of(half, batch)[1, 0], 0.213333)


@pytest.mark.parametrize("pi", [0.05, 0.3, 0.5, 0.7, 0.99])
def test_where_the_policy_is_sure_wrong_responses_push_harder_than_right_ones(pi: float) -> None:
    """2 pi^2 against 2 pi (1 - pi): they balance at 1/2, and at 0.99 it is 99 to 1."""
    slopes = 2 * gradient_of(MSE, tokens(logs([pi], [pi]), correct=[True, False]))[:, 0]
    near(slopes, [-2 * pi * (1 - pi), 2 * pi * pi], atol=1e-12)
    near(slopes[1] / -slopes[0], pi / (1 - pi), atol=1e-9)


def test_a_fit_to_a_fixed_batch_first_unlearns_right_responses_and_then_recovers_them() -> None:
    """Every token has a logit of its own plus one that all share, as they share a network."""
    shared = torch.tensor(2.2, dtype=torch.float64, requires_grad=True)  # pi = 0.9 everywhere
    own = torch.zeros(2, 4, dtype=torch.float64, requires_grad=True)  # a right and a wrong response
    optimiser = torch.optim.SGD([shared, own], lr=1.0)
    history = []
    for _ in range(3000):
        logprobs = logsigmoid(shared + own)
        loss = loss_of(MSE, tokens(logprobs, correct=[True, False]))
        history.append((float(loss.detach()), *logprobs.detach().mean(dim=1).tolist()))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    losses, right, wrong = torch.tensor(history, dtype=torch.float64).T
    lowest = int(right.argmin())
    assert 5 < lowest < 200, "down first"
    assert right[lowest] < right[0] - 0.1
    assert right[-1] > right[0], "then up, beyond where it began"
    assert (wrong.diff() < 0).all()
    assert losses[-1] < 0.01, "the outcome is told by the policy's probabilities"


def test_a_log_prob_of_minus_ten_thousand_is_a_probability_of_0() -> None:
    for dtype in (torch.float32, torch.bfloat16, torch.float64):
        leaf = torch.full((2, 2), -1e4, dtype=dtype)
        batch = tokens(leaf, correct=[True, False])
        near(loss_of(MSE, batch), 0.5)
        assert not gradient_of(MSE, batch).any()
