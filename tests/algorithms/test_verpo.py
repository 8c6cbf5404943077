import math

import torch
from torch import Tensor

from jumar import algorithms
from jumar.algorithms.verpo import dense_reward, difficulty_weights
from jumar.types import RolloutBatch

from .hand import advantages, near, rollout

NONE = float("nan")


def ran(parts: list[list[float]], groups: list[int] | None = None) -> RolloutBatch:
    column = torch.tensor(parts, dtype=torch.float64)
    right = [float(row[row.isfinite()].all()) for row in column]
    return rollout(right, groups=groups, reward_parts=column)


def weights(*rates: float, alpha: float = 2.0, sigma: float = 0.1) -> Tensor:
    return difficulty_weights(torch.tensor(rates, dtype=torch.float64), alpha, sigma)


def test_weights_by_hand() -> None:
    # rates 1 and 0 are 10 sigma apart: each its own density; e^-2 and 1, over their sum
    near(weights(1.0, 0.0), [math.exp(-2) / (1 + math.exp(-2)), 1 / (1 + math.exp(-2))])
    # three alike share one density: 1/3 each of e^-2 against 1
    raw = [math.exp(-2) / 3] * 3 + [1.0]
    near(weights(1.0, 1.0, 1.0, 0.0), [x / sum(raw) for x in raw])


def test_a_hard_test_weighs_more_than_an_easy_one_and_a_rare_kind_more_than_a_common_one() -> None:
    found = weights(0.1, 0.5, 0.9)
    assert found[0] > found[1] > found[2]
    assert weights(0.5, 0.5, 0.5, 0.9)[3] > weights(0.5, 0.9, 0.9, 0.9)[3]


def test_advantages_by_hand() -> None:
    # tests {1, 1, 0, 0} and {1, 0, 0, 0}: rates 1/2 and 1/4, whose densities are alike, so weights
    # e^-1 and e^-1/2 over their sum: 0.377541, 0.622459
    batch = ran([[1, 1], [1, 0], [0, 0], [0, 0]])
    near(weights(0.5, 0.25), [0.377541, 0.622459])
    total = [1 + 1.0, 0.377541, 0.0, 0.0]
    mean = sum(total) / 4
    near(advantages(algorithms.verpo(), batch)[:, 0], [x - mean for x in total])


def test_of_two_failures_the_one_that_passed_more_is_better_where_the_verdict_says_nothing() -> (
    None
):
    batch = ran([[1, 1, 0], [1, 0, 0], [0, 0, 0]])
    assert (batch.correct == 0).all()
    a = advantages(algorithms.verpo(), batch)[:, 0]
    assert a[0] > a[1] > a[2]
    assert (advantages(algorithms.verpo(beta=0.0), batch) == 0).all()


def test_prompts_have_their_own_tests_and_missing_ones_count_for_nothing() -> None:
    batch = ran([[1, 0, NONE], [0, 0, NONE], [1, 1, 1], [1, 1, 0]], groups=[0, 0, 1, 1])
    earned = dense_reward(batch, alpha=2.0, sigma=0.1)
    near(earned[:2], [float(weights(0.5, 0.0)[0]), 0.0])
    near(earned[2:], [1.0, float(weights(1.0, 1.0, 0.5)[:2].sum())])


def test_without_tests_it_is_the_mean_baseline() -> None:
    batch = rollout([1.0, 0.0], reward_parts=torch.zeros(2, 0))
    near(advantages(algorithms.verpo(), batch)[:, 0], [0.5, -0.5])
