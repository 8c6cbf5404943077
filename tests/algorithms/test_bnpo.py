import math
from collections.abc import Sequence

import pytest
import torch

from jumar import algorithms
from jumar.algorithms.bnpo import beta_log_density, fitted_beta

from .hand import advantages, near, rollout

DOUBLE = torch.float64


def groups_of(rates: Sequence[int], size: int = 4) -> tuple[list[float], list[int]]:
    """Verdicts of groups with so many right ones, and their groups."""
    rewards = [1.0 if i < right else 0.0 for right in rates for i in range(size)]
    return rewards, [g for g in range(len(rates)) for _ in range(size)]


def test_by_hand() -> None:
    # rates 1/4 and 3/4: m = 1/2, v = 1/8, c = 1/4 / (1/8) - 1 = 1, a = b = 1/2: Beta(7/6, 7/6),
    # whose density at 1/4 is (3/16)^(1/6) / B(7/6, 7/6)
    rewards, groups = groups_of([1, 3])
    alpha, beta = fitted_beta(torch.tensor([0.25, 0.75], dtype=DOUBLE))
    near(torch.stack([alpha, beta]), [7 / 6, 7 / 6])
    density = (3 / 16) ** (1 / 6) * math.gamma(7 / 3) / math.gamma(7 / 6) ** 2
    a = advantages(algorithms.bnpo(), rollout(rewards, groups=groups))[:, 0]
    near(a, [x / density for x in (0.75, -0.25, -0.25, -0.25, 0.25, 0.25, 0.25, -0.75)])


@pytest.mark.parametrize("rates", [[1, 3, 2], [0, 1, 3], [4, 4, 1], [1, 2, 2, 3, 0]])
def test_the_released_formula(rates: list[int]) -> None:
    """With torch's own Beta distribution, as the authors' code has it."""
    rewards, groups = groups_of(rates)
    p = torch.tensor(rates, dtype=DOUBLE) / 4
    common = p.mean() * (1 - p.mean()) / p.var() - 1
    density = torch.distributions.Beta(
        (1 + common * p.mean() / 3).clamp(min=1), (1 + common * (1 - p.mean()) / 3).clamp(min=1)
    )
    scale = (1 / density.log_prob(p).exp()).clamp(0, 1e6)
    expected = (torch.tensor(rewards, dtype=DOUBLE).view(-1, 4) - p[:, None]) * scale[:, None]
    near(advantages(algorithms.bnpo(), rollout(rewards, groups=groups))[:, 0], expected.flatten())


def test_a_flat_density_is_the_mean_baseline_and_three_halves_are_grpo() -> None:
    p, one = torch.tensor([0.1, 0.5, 0.8], dtype=DOUBLE), torch.ones((), dtype=DOUBLE)
    assert (beta_log_density(p, one, one) == 0).all()
    density = beta_log_density(p, 1.5 * one, 1.5 * one).exp()
    spread = (p * (1 - p)).sqrt()
    near(density / spread, [8 / math.pi] * 3)


@pytest.mark.parametrize("rates", [[1], [2, 2, 2]])
def test_one_prompt_or_prompts_alike_leave_the_mean_baseline(rates: list[int]) -> None:
    rewards, groups = groups_of(rates)
    near(
        advantages(algorithms.bnpo(), rollout(rewards, groups=groups))[:, 0],
        [r - rates[0] / 4 for r in rewards],
    )


def test_the_density_follows_the_policy_from_rare_success_to_common_success() -> None:
    early = fitted_beta(torch.tensor([0.0, 0.1, 0.2, 0.1], dtype=DOUBLE))
    late = fitted_beta(torch.tensor([1.0, 0.9, 0.8, 0.9], dtype=DOUBLE))
    assert early[1] > early[0]
    assert late[0] > late[1]
    torch.testing.assert_close(early, late[::-1])
