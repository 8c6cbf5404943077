import math

import torch

from jumar import algorithms

from .hand import advantages, gradient_of, near, rollout, tokens


def test_by_hand() -> None:
    # groups {1, 0} and {1, 1, 1, 0}: all six have mean 4/6, squares 4/9 * 2 + 1/9 * 4 = 4/3, std
    # sqrt(4/3 / 5) = 0.516398; distances from the groups' means 0.5 and 0.25 over it
    batch = rollout([1.0, 0.0, 1.0, 1.0, 1.0, 0.0], groups=[0, 0, 1, 1, 1, 1])
    a = advantages(algorithms.lite_ppo(eps=0.0), batch)[:, 0]
    near(a, [0.968246, -0.968246, 0.484123, 0.484123, 0.484123, -1.452369])


def test_a_group_that_is_nearly_all_right_is_not_blown_up() -> None:
    """GRPO gives one wrong of eight 3.5 times what it gives one of two."""
    nearly = [1.0] * 7 + [0.0]
    batch = rollout([*nearly, 1.0, 0.0], groups=[0] * 8 + [1] * 2)

    def ratio(name: str) -> float:
        a = advantages(algorithms.get(name, eps=0.0), batch)[:, 0]
        return float(a[7] / a[9])

    near(ratio("lite_ppo"), (7 / 8) / (1 / 2))
    near(ratio("grpo"), (7 / 8) / math.sqrt(1 / 8) / ((1 / 2) / math.sqrt(1 / 2)))
    assert ratio("grpo") > 3


def test_with_one_group_it_is_grpo_with_the_mean_over_tokens() -> None:
    batch = rollout([1.0, 0.0, 0.25, 0.0])
    one, other = algorithms.lite_ppo(), algorithms.grpo(kl_coef=0.0)
    torch.testing.assert_close(advantages(one, batch), advantages(other, batch))
    same = [[-1.0], [-1.0, -1.0, -1.0]]
    gradient = gradient_of(one, tokens(same, old_logprobs=same, advantages=[1.0, 1.0]))
    near(gradient, [[-0.25, 0, 0], [-0.25] * 3])
