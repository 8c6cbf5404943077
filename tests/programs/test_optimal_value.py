"""V* of a prompt from the rewards of N responses of the reference."""

import math
from itertools import pairwise, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jumar.programs.a_star_po import optimal_value

REWARDS = [0.0, 1.0, 0.25, 0.35]


@pytest.mark.parametrize(
    ("right", "value"), [(0, 0.0), (1, 0.293513), (4, 0.716890), (7, 0.942809), (8, 1.0)]
)
def test_of_right_and_wrong_it_has_a_closed_form(right: int, value: float) -> None:
    # V* = b log(1 + p (e^(1/b) - 1)) with b = 1/2 and e^2 - 1 = 6.389056; at p = 1/8 it is
    # 0.5 log 1.798632 = 0.5 * 0.587026, at p = 1/2 it is 0.5 log 4.194528 = 0.5 * 1.433780
    rewards = [1.0] * right + [0.0] * (8 - right)
    assert optimal_value(rewards, beta=0.5) == pytest.approx(value, abs=1e-6)
    closed = 0.5 * math.log1p(right / 8 * math.expm1(2.0))
    assert optimal_value(rewards, beta=0.5) == pytest.approx(closed, abs=1e-15)


def test_of_graded_rewards_by_hand() -> None:
    # b = 1: log of the mean of e^0, e^1, e^0.25, e^0.35 = (1 + 2.718282 + 1.284025 + 1.419068) / 4
    assert optimal_value(REWARDS, beta=1.0) == pytest.approx(math.log(1.605344), abs=1e-6)


def test_both_limits_are_exact() -> None:
    assert optimal_value(REWARDS, beta=0) == 1.0
    assert optimal_value(REWARDS, beta=math.inf) == 0.4
    # and they are limits: b log(e^(1/b) / 4) = 1 - b log 4, and mean + variance / (2 b)
    assert optimal_value(REWARDS, beta=1e-4) == pytest.approx(1 - 1e-4 * math.log(4), abs=1e-12)
    variance = (0.16 + 0.36 + 0.0225 + 0.0025) / 4  # of -0.4, 0.6, -0.15, -0.05: 0.13625
    assert optimal_value(REWARDS, beta=1e3) == pytest.approx(0.4 + variance / 2e3, abs=1e-7)
    assert optimal_value(REWARDS, beta=1e12) == pytest.approx(0.4, abs=1e-12)


def test_it_falls_from_the_largest_reward_to_the_mean_as_beta_grows() -> None:
    betas = [0, 1e-6, 1e-3, 0.1, 0.5, 2.0, 100.0, 1e6, math.inf]
    values = [optimal_value(REWARDS, beta=beta) for beta in betas]
    assert all(before >= after for before, after in pairwise(values))
    assert (values[0], values[-1]) == (1.0, 0.4)


@pytest.mark.parametrize("beta", [1e-300, 1e-4, 1e-3])
def test_no_beta_is_so_small_that_it_overflows(beta: float) -> None:
    assert optimal_value([0.0, 1.0], beta=beta) == pytest.approx(1.0, abs=1e-2)
    assert optimal_value([-1e4, -1e4], beta=beta) == -1e4
    assert optimal_value([1e4, -1e4], beta=beta) == pytest.approx(1e4)


@given(
    st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=32),
    st.floats(0, 1e6) | st.just(math.inf),
)
def test_it_lies_between_the_mean_and_the_largest(rewards: list[float], beta: float) -> None:
    mean, best = math.fsum(rewards) / len(rewards), max(rewards)
    slack = 1e-12 * max(1.0, *map(abs, rewards))  # of doubles
    assert mean - slack <= optimal_value(rewards, beta=beta) <= best + slack


@given(st.lists(st.floats(-10, 10), min_size=2, max_size=8), st.floats(0.01, 10))
def test_a_constant_goes_through_and_the_order_does_not_matter(
    rewards: list[float], beta: float
) -> None:
    value = optimal_value(rewards, beta=beta)
    assert optimal_value([r + 3 for r in rewards], beta=beta) == pytest.approx(value + 3, abs=1e-8)
    assert optimal_value(rewards[::-1], beta=beta) == pytest.approx(value, abs=1e-12)
    assert optimal_value([rewards[0]] * 5, beta=beta) == pytest.approx(rewards[0], abs=1e-12)


def test_from_few_samples_it_is_too_low_on_average() -> None:
    """It is concave in the success rate: by enumeration of four samples at p = 1/4."""
    p, average = 0.25, 0.0
    for outcome in product([1.0, 0.0], repeat=4):
        chance = math.prod(p if right else 1 - p for right in outcome)
        average += chance * optimal_value(outcome, beta=0.5)
    assert average < 0.5 * math.log1p(p * math.expm1(2.0)) - 0.02
