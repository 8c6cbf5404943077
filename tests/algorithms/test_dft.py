import math

import pytest
import torch

from jumar import algorithms

from .arms import THETA, exact_gradient
from .hand import gradient_of, loss_of, near, tokens


def test_by_hand() -> None:
    batch = tokens([[math.log(0.5), math.log(0.25)]])
    near(loss_of(algorithms.dft(), batch), (0.5 * math.log(2) + 0.25 * math.log(4)) / 2)
    near(gradient_of(algorithms.dft(), batch), [[-0.25, -0.125]])


def test_a_token_that_the_policy_does_not_expect_pulls_less_than_under_sft() -> None:
    batch = tokens([[-0.1, -9.0]])
    rare = {name: float(-gradient_of(algorithms.get(name), batch)[0, 1]) for name in ("sft", "dft")}
    assert rare["sft"] == 0.5
    assert rare["dft"] < 1e-4


def test_it_ascends_the_probability_of_the_given_token() -> None:
    """The policy gradient of the reward that is 1 for this token and 0 for every other."""
    given = 1
    logprobs = THETA.log_softmax(0)
    slope = float(gradient_of(algorithms.dft(), tokens(logprobs[given].view(1, 1)))[0, 0])
    found = slope * exact_gradient(lambda p: p[given], THETA)
    near(found, -exact_gradient(lambda p: p[given].exp(), THETA))


@pytest.mark.parametrize("beta", [-0.1, -0.5, 0.0])
def test_one_token_rollout_at_temperature_one_has_this_gradient_in_expectation(beta: float) -> None:
    """The given token is rewarded by 1 and others by beta: 1 - beta times the pull of DFT."""
    given = 2
    reward = torch.full((4,), beta, dtype=torch.float64)
    reward[given] = 1.0
    rollout = exact_gradient(lambda p: -(reward * p.detach().exp() * p).sum(), THETA)
    dft = exact_gradient(lambda p: -p[given].detach().exp() * p[given], THETA)
    near(rollout, (1 - beta) * dft, atol=1e-12)
