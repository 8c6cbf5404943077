import math
from itertools import product

import pytest
import torch

from jumar import algorithms
from jumar.algorithms.a_star_po import optimal_value

from .hand import gradient_of, loss_of, near, tokens

DOUBLE = torch.float64


def test_by_hand() -> None:
    algorithm = algorithms.a_star_po(beta=0.1)
    batch = tokens(
        [[-1.0, -1.0], [-2.0]],
        ref_logprobs=[[-1.3, -1.2], [-1.0]],
        rewards=[1.0, 0.0],
        optimal_values=[0.6, 0.2],
    )
    # 0.1 * 0.5 - 0.4 = -0.35, squared 0.1225; 0.1 * (-1) + 0.2 = 0.1, squared 0.01; mean 0.06625
    near(loss_of(algorithm, batch), 0.06625)
    # 2 * (-0.35) * 0.1 / 2 and 2 * 0.1 * 0.1 / 2; a sum over tokens gives each the same
    near(gradient_of(algorithm, batch), [[-0.035, -0.035], [0.01, 0.0]])


def test_at_the_optimal_policy_the_loss_is_0_whoever_sampled() -> None:
    """With beta = beta_value and exact V*, by enumeration of a bandit with four arms."""
    beta = 0.5
    reference = torch.tensor([0.1, 0.4, 0.2, 0.3], dtype=DOUBLE)
    reward = torch.tensor([1.0, 0.0, 0.3, -0.5], dtype=DOUBLE)
    partition = (reference * (reward / beta).exp()).sum()
    optimal = reference * (reward / beta).exp() / partition
    # counts in proportion to the reference make the mean over samples exact
    counted = reward.repeat_interleave(torch.tensor([1, 4, 2, 3]))
    value = optimal_value(counted, beta=beta)
    near(value, beta * partition.log(), atol=1e-12)
    for arms in ([0, 1, 2, 3], [0, 0, 0, 3], [2]):
        batch = tokens(
            optimal.log()[arms, None],
            ref_logprobs=reference.log()[arms, None],
            rewards=reward[arms],
            optimal_values=value.expand(len(arms)),
        )
        algorithm = algorithms.a_star_po(beta=beta)
        near(loss_of(algorithm, batch), 0.0, atol=1e-12)
        near(gradient_of(algorithm, batch), torch.zeros(len(arms), 1), atol=1e-12)


def test_from_the_reference_the_step_is_the_policy_gradient_with_v_star_as_baseline() -> None:
    same = [[-1.0, -2.0], [-3.0]]
    batch = tokens(same, ref_logprobs=same, rewards=[1.0, 0.0], optimal_values=[0.3, 0.3])
    # -2 beta (r - V*) / B per token: -0.001 * 0.7 and 0.001 * 0.3
    near(gradient_of(algorithms.a_star_po(), batch), [[-7e-4, -7e-4], [3e-4, 0]], atol=1e-12)


@pytest.mark.parametrize(("right", "value"), [(0, 0.0), (1, 0.293513), (4, 0.716890), (8, 1.0)])
def test_v_star_of_right_and_wrong_has_a_closed_form(right: int, value: float) -> None:
    rewards = torch.tensor([1.0] * right + [0.0] * (8 - right), dtype=DOUBLE)
    # 0.5 * log(1 + p * 6.389056), with e^2 - 1: at p = 1/8 it is 0.5 * log(1.798632)
    near(optimal_value(rewards, beta=0.5), value)
    near(0.5 * math.log(1 + right / 8 * (math.exp(2) - 1)), value)


def test_v_star_goes_from_the_maximum_to_the_mean_as_beta_grows() -> None:
    rewards = torch.tensor([[0.0, 1.0, 0.2, 0.4], [0.5, 0.5, 0.5, 0.5]], dtype=DOUBLE)
    betas = [0, 1e-6, 0.01, 0.1, 0.5, 2.0, 100.0, 1e7, math.inf]
    values = torch.stack([optimal_value(rewards, beta=beta) for beta in betas])
    near(values[0], [1.0, 0.5])
    near(values[1], [1.0, 0.5], atol=1e-5)
    near(values[-2], [0.4, 0.5])
    near(values[-1], [0.4, 0.5])
    assert (values.diff(dim=0)[:, 0] <= 0).all()
    near(values[:, 1], [0.5] * len(betas), atol=1e-8)


def test_a_small_beta_does_not_overflow() -> None:
    assert torch.isfinite(optimal_value(torch.tensor([0.0, 1.0, 1.0]), beta=1e-5))
    near(optimal_value(torch.tensor([-1e4, -1e4]).double(), beta=1e-3), -1e4)


def test_v_star_from_few_samples_is_too_low_on_average() -> None:
    """It is concave in the success rate: by enumeration of four samples at p = 1/4."""
    p, average = 0.25, 0.0
    for outcome in product([1.0, 0.0], repeat=4):
        chance = math.prod(p if right else 1 - p for right in outcome)
        average += chance * float(optimal_value(torch.tensor(outcome, dtype=DOUBLE), beta=0.5))
    exact = 0.5 * math.log(1 + p * (math.exp(2) - 1))
    assert average < exact - 0.02
