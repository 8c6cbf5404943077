import math

import torch

from jumar import algorithms
from jumar.algorithms.empg import confidence_factor
from jumar.types import RolloutBatch

from .hand import advantages, near, rollout


def judged(entropies: list[float], rewards: list[float], groups: list[int]) -> RolloutBatch:
    return rollout(rewards, groups=groups, old_entropies=[[h] for h in entropies])


def test_by_hand() -> None:
    # entropies 1, 2, 3, 3 are 0, 1/2, 1, 1: e^0, e^-1/2, e^-1, e^-1 over their mean 0.585572
    raw = [1.0, math.exp(-0.5), math.exp(-1), math.exp(-1)]
    factors = [x / (sum(raw) / 4) for x in raw]
    batch = judged([1, 2, 3, 3], [1.0, 0.0, 1.0, 0.0], [0, 0, 1, 1])
    near(confidence_factor(batch, k=1.0), factors)
    a = [x * f for x, f in zip((0.707107, -0.707107, 0.707107, -0.707107), factors, strict=True)]
    mean = sum(a) / 4
    near(advantages(algorithms.empg(), batch)[:, 0], [x - mean for x in a], atol=1e-5)


def test_the_factors_have_mean_one_and_fall_with_entropy() -> None:
    batch = judged([0.1, 2.0, 0.7, 1.4], [1.0, 0.0, 1.0, 0.0], [0] * 4)
    factor = confidence_factor(batch, k=2.0)
    near(factor.mean(), 1.0)
    assert factor[0] > factor[2] > factor[3] > factor[1]


def test_a_confident_error_is_corrected_harder_than_an_uncertain_one() -> None:
    batch = judged([0.1, 2.0, 1.0, 1.0], [0.0, 0.0, 1.0, 1.0], [0] * 4)
    a = advantages(algorithms.empg(), batch)[:, 0]
    assert a[0] < a[1] < 0 < a[2]


def test_with_k_zero_it_is_grpo() -> None:
    batch = judged([0.1, 2.0, 1.0, 1.0], [0.0, 0.25, 1.0, 1.0], [0] * 4)
    torch.testing.assert_close(
        advantages(algorithms.empg(k=0.0), batch), advantages(algorithms.grpo(), batch)
    )


def test_a_long_response_is_judged_by_its_mean_entropy() -> None:
    batch = rollout([1.0, 0.0], lengths=[1, 3], old_entropies=[[1.0, None, None], [2.0, 1.0, 0.0]])
    near(confidence_factor(batch, k=1.0), [1.0, 1.0])
