import math

import pytest
import torch

from jumar import algorithms

from .hand import advantages, gradient_of, loss_of, near, rollout, tokens


def test_advantages_by_hand() -> None:
    # entropies 1, 2, 3, 2: mean 2, unbiased std 0.816497: -1.224745, 0, 1.224745, 0; times 0.2
    batch = rollout([1.0, 0.0], lengths=[2, 2], old_entropies=[[1.0, 2.0], [3.0, 2.0]])
    a = advantages(algorithms.aepo(eps=0.0), batch)
    b = 0.707107
    near(a, [[b * (1 - 0.244949), b], [-b * (1 + 0.244949), -b]], atol=1e-5)


def test_without_the_coefficient_it_is_grpos_advantage() -> None:
    batch = rollout([1.0, 0.0], lengths=[2, 2], old_entropies=[[1.0, 2.0], [3.0, 2.0]])
    torch.testing.assert_close(
        advantages(algorithms.aepo(entropy_coef=0.0), batch), advantages(algorithms.grpo(), batch)
    )


def test_above_the_clip_the_value_stays_and_a_gradient_of_the_bound_is_kept() -> None:
    batch = tokens([[-1.0]], old_logprobs=[[-1.0 - math.log(2)]], advantages=[1.0])
    near(loss_of(algorithms.aepo(), batch), -1.2)
    near(gradient_of(algorithms.aepo(), batch), [[-1.2]])
    near(gradient_of(algorithms.dapo(), batch), [[0.0]])


@pytest.mark.parametrize(
    ("ratio", "advantage"), [(0.5, -1.0), (0.5, 1.0), (1.1, 1.0), (1.1, -1.0), (2.0, -1.0)]
)
def test_everywhere_else_its_gradient_is_ppos(ratio: float, advantage: float) -> None:
    batch = tokens([[-1.0]], old_logprobs=[[-1.0 - math.log(ratio)]], advantages=[advantage])
    one, other = algorithms.aepo(), algorithms.dapo(dual_clip=None)
    near(gradient_of(one, batch), gradient_of(other, batch), atol=1e-12)


def test_a_bad_token_whose_ratio_exploded_costs_three_times_its_advantage_at_most() -> None:
    batch = tokens([[-1.0]], old_logprobs=[[-1.0 - math.log(4)]], advantages=[-1.0])
    near(loss_of(algorithms.aepo(), batch), 3.0)
    near(loss_of(algorithms.aepo(dual_clip=None), batch), 4.0)
    near(gradient_of(algorithms.aepo(), batch), [[0.0]])
