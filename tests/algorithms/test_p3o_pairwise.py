import math
from itertools import combinations
from typing import Any

import pytest
import torch

from jumar import algorithms
from jumar.algorithm import compute_signals

from .hand import advantages, column, gradient_of, loss_of, near, rollout, tokens

FREE = {"kl_coef": 0.0}
WIDE = {"clip_low": 1.0, "clip_high": 1e9, "kl_coef": 0.0}


def pair(first: float, second: float, rewards: tuple[float, float] = (1.0, 0.0)) -> Any:
    """Two responses whose probabilities have changed by these factors."""
    old = [[-1.0 - math.log(first)], [-1.0 - math.log(second)]]
    return tokens([[-1.0], [-1.0]], old_logprobs=old, rewards=list(rewards))


def test_separate_clips_by_hand() -> None:
    algorithm = algorithms.p3o_pairwise(**FREE)
    # rho = 1.5 and 0.9: 0.9 * min(1.5, 1.2) on the good one, 1.5 * min(-0.9, -0.9) on the bad one
    near(loss_of(algorithm, pair(1.5, 0.9)), -0.5 * (0.9 * 1.2 - 1.5 * 0.9))
    near(gradient_of(algorithm, pair(1.5, 0.9))[:, 0], [0.0, 0.5 * 1.5 * 0.9])


def test_the_joint_clip_by_hand() -> None:
    algorithm = algorithms.p3o_pairwise(clipping="joint", **FREE)
    # u = 1.1 / 1.0 is inside: -1/2 * 1 * 1.1; u = 1.5 / 0.9 is not: -1/2 * 0.81 * 1.2, no slope
    near(loss_of(algorithm, pair(1.1, 1.0)), -0.55)
    near(gradient_of(algorithm, pair(1.1, 1.0))[:, 0], [-0.55, 0.55])
    near(loss_of(algorithm, pair(1.5, 0.9)), -0.5 * 0.81 * 1.2)
    assert not gradient_of(algorithm, pair(1.5, 0.9)).any()


def test_the_kl_is_in_the_reward_by_hand() -> None:
    rows = rollout([1.0, 0.0], old_logprobs=[[-1.0], [-2.0]], ref_logprobs=[[-1.5], [-2.0]])
    signals, _ = compute_signals(algorithms.p3o_pairwise(kl_coef=0.2), rows, {})
    near(signals.columns["rewards"], [1.0 - 0.2 * 0.5, 0.0])


@pytest.mark.parametrize("clipping", ["separate", "joint"])
@pytest.mark.parametrize("n", [2, 4])
def test_where_nothing_is_clipped_both_have_the_papers_gradient(clipping: Any, n: int) -> None:
    g = torch.Generator().manual_seed(n)
    old = -torch.rand(n, 3, generator=g, dtype=torch.float64)
    now = (old + 0.2 * torch.randn(n, 3, generator=g, dtype=torch.float64)).requires_grad_()
    rewards = torch.randn(n, generator=g, dtype=torch.float64)
    log_pi, ratio = now.sum(dim=1), (now - old).sum(dim=1).exp().detach()
    terms = [
        (rewards[i] - rewards[j]) * ratio[i] * ratio[j] * (log_pi[i] - log_pi[j]) / 2
        for i, j in combinations(range(n), 2)
    ]
    (expected,) = torch.autograd.grad(-torch.stack(terms).mean(), now)
    batch = tokens(now.detach(), old_logprobs=old, rewards=rewards)
    found = gradient_of(algorithms.p3o_pairwise(clipping=clipping, **WIDE), batch)
    near(found, expected, atol=1e-12)


@pytest.mark.parametrize("clipping", ["separate", "joint"])
def test_on_new_responses_it_is_rloo(clipping: Any) -> None:
    verdicts, same = [1.0, 0.0, 0.3, 0.0], [[-1.0, -2.0]] * 4
    made = advantages(algorithms.rloo(), rollout(verdicts, lengths=[2] * 4))
    batch = tokens(same, old_logprobs=same, rewards=verdicts, advantages=made)
    mine = gradient_of(algorithms.p3o_pairwise(clipping=clipping, **FREE), batch)
    near(mine, gradient_of(algorithms.rloo(), batch), atol=1e-12)


@pytest.mark.parametrize("clipping", ["separate", "joint"])
@pytest.mark.parametrize("shift", [-3.0, 1e3])
def test_equivalent_rewards_give_the_same_update(clipping: Any, shift: float) -> None:
    """The paper's claim: what a preference cannot tell apart, the update does not either."""
    algorithm = algorithms.p3o_pairwise(clipping=clipping, **FREE)
    plain, shifted = pair(1.1, 0.95), pair(1.1, 0.95, (1.0 + shift, shift))
    near(gradient_of(algorithm, plain), gradient_of(algorithm, shifted), atol=1e-12)


def test_a_group_of_one_has_no_pair() -> None:
    batch = tokens([[-1.0]], old_logprobs=[[-1.0]], rewards=column([1.0]))
    assert loss_of(algorithms.p3o_pairwise(**FREE), batch) == 0
