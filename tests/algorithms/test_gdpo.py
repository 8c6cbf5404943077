import math

import pytest
import torch

from jumar import algorithms
from jumar.errors import ConfigurationError

from .hand import advantages, near, rollout

NONE = float("nan")


def standing(parts: list[list[float]], **settings: object) -> list[float]:
    column = torch.tensor(parts, dtype=torch.float64)
    batch = rollout([0.0] * len(parts), lengths=[2] * len(parts), reward_parts=column)
    return advantages(algorithms.gdpo(**settings), batch)[:, 0].tolist()


def test_by_hand() -> None:
    # part 1 {1, 1, 0, 0}: +-0.5 / 0.577350 = +-0.866025; part 2 {10, 0, 0, 0}: 7.5 / 5 = 1.5, -0.5
    # sums 2.366025, 0.366025, -1.366025, -1.366025: mean 0, std 1.795055
    found = standing([[1, 10], [1, 0], [0, 0], [0, 0]], eps=0.0)
    squares = 2.366025**2 + 0.366025**2 + 2 * 1.366025**2
    std = math.sqrt(squares / 3)
    near(found, [2.366025 / std, 0.366025 / std, -1.366025 / std, -1.366025 / std])


def test_a_part_with_small_numbers_is_heard_and_added_first_it_is_not() -> None:
    """Two who differ in the small part only: 1/100 of the scale, but as much of the advantage."""
    parts = [[1, 0.01], [1, 0], [0, 0.01], [0, 0]]
    apart = standing(parts, eps=0.0)
    near(apart[0] - apart[1], apart[0] - apart[2])
    summed = standing(parts, eps=0.0, combine="sum_then_normalise")
    assert summed[0] - summed[1] == pytest.approx(0.01 * (summed[0] - summed[2]))


def test_added_first_two_halves_are_one_reward_and_apart_they_are_two() -> None:
    parts = [[1, 1], [1, 0], [0, 1], [1, 0]]
    summed = standing(parts, combine="sum_then_normalise")
    assert summed[1] == summed[2]
    apart = standing(parts)
    assert apart[2] != pytest.approx(apart[1])


def test_with_one_part_the_sum_is_grpo() -> None:
    rewards = [1.0, 0.0, 0.25, 0.0]
    one = standing([[r] for r in rewards], eps=1e-6, combine="sum_then_normalise")
    near(one, advantages(algorithms.grpo(), rollout(rewards))[:, 0])


def test_where_a_part_says_nothing_it_adds_nothing() -> None:
    # part 2 is known of two: {1, 0} gives +-0.707107; part 1 {1, 0, 1, 0}: +-0.866025
    near(
        standing([[1, 1], [0, 0], [1, NONE], [0, NONE]], eps=0.0, weights=(1.0, 0.0)),
        [0.866025, -0.866025, 0.866025, -0.866025],
    )
    found = standing([[1, 1], [0, 0], [1, NONE], [0, NONE]])
    assert found[0] > found[2] > 0


def test_the_wrong_number_of_weights_is_refused_and_says_what_to_do() -> None:
    with pytest.raises(ConfigurationError, match="Give one weight for each part"):
        standing([[1, 0], [0, 1]], weights=(1.0,))
