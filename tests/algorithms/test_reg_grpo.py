import math

import pytest
import torch

from jumar import algorithms

from .hand import advantages, gradient_of, loss_of, near, rollout, tokens

FREE = {"kl_coef": 0.0}


def test_by_hand() -> None:
    batch = tokens(
        [[-1.0, -1.0], [-2.0]],
        old_logprobs=[[-1.3, -1.1], [-1.8]],
        advantages=[0.5, -0.5],
    )
    # rho = 0.4 and -0.2: centred +-0.3, variance 0.18; floor 0.4: 0.3 / sqrt(0.34) = 0.514496
    near(loss_of(algorithms.reg_grpo(floor=0.4, **FREE), batch), (0.5 - 0.514496) ** 2)


def test_the_penalty_is_a_mean_over_tokens_by_hand() -> None:
    same = [[-1.0, -1.0], [-1.0]]
    batch = tokens(
        same,
        old_logprobs=same,
        ref_logprobs=[[-1.0, -1.0], [-1.0 + math.log(2)]],
        advantages=[0.0, 0.0],
    )
    # u = -log 2 at one token of three: 2 - log 2 - 1 = 0.306853
    near(loss_of(algorithms.reg_grpo(kl_coef=3.0), batch), 0.306853)


def test_the_first_step_is_the_policy_gradient_over_the_floor() -> None:
    same = [[-1.0], [-2.0], [-3.0]]
    batch = tokens(same, old_logprobs=same, advantages=[1.0, 0.5, -1.5])
    found = gradient_of(algorithms.reg_grpo(floor=0.1, **FREE), batch)[:, 0]
    near(found, [-2 / 3 * a / 0.1 for a in (1.0, 0.5, -1.5)], atol=1e-9)


@pytest.mark.parametrize("scale", [0.5, 1.0, 7.0])
def test_the_loss_is_0_where_log_ratios_are_spread_as_rewards_are(scale: float) -> None:
    """Any shift, which is log Z, and any scale, which is the temperature, are solutions."""
    rewards = [1.0, 0.0, 0.0, 0.3]
    algorithm = algorithms.reg_grpo(floor=0.0, eps=0.0, **FREE)
    made = advantages(algorithm, rollout(rewards))
    old = -torch.ones(4, 1, dtype=torch.float64)
    moved = old + (scale * torch.tensor(rewards, dtype=torch.float64) + 3)[:, None]
    batch = tokens(moved, old_logprobs=old, advantages=made)
    near(loss_of(algorithm, batch), 0.0, atol=1e-12)
    near(gradient_of(algorithm, batch), torch.zeros(4, 1), atol=1e-9)


def test_far_from_the_old_policy_there_is_still_a_gradient_where_the_clip_has_none() -> None:
    """The paper's first point: a right response that grew too much comes back."""
    batch = tokens(
        [[-1.0], [-2.0], [-2.0]],
        old_logprobs=[[-3.0], [-2.5], [-2.0]],
        advantages=[0.2, 0.9, -1.1],
    )
    clipped = gradient_of(algorithms.grpo(kl_coef=0.0), batch)
    assert (clipped[:2] == 0).all()
    found = gradient_of(algorithms.reg_grpo(**FREE), batch)[:, 0]
    assert found[0] > 0.1
    assert found[1] < -0.1


def test_with_a_large_floor_it_is_rebel_on_normalised_rewards() -> None:
    """Both regress differences of log-ratios; rho / floor against rho / eta."""
    old = [[-1.3], [-1.8], [-2.0]]
    rewards = [1.0, 0.0, -1.0]  # of mean 0 and unbiased variance 1
    batch = tokens([[-1.0], [-2.0], [-2.2]], old_logprobs=old, rewards=rewards, advantages=rewards)
    mine = gradient_of(algorithms.reg_grpo(floor=1e4, **FREE), batch)
    rebels = gradient_of(algorithms.rebel(eta=1e4), batch)
    near(mine * 3, rebels, atol=1e-10)  # REBEL: 2 / (n - 1) per row, here 1 / n, of n = 3
