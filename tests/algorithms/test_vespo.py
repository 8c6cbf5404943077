import math

import pytest

from jumar import algorithms
from jumar.algorithms.vespo import gamma_weight

from .hand import advantages, gradient_of, loss_of, near, rollout, tokens

DEFAULTS = {"k_pos": 2.0, "lam_pos": 3.0, "k_neg": 3.0, "lam_neg": 2.0}


def weight(ratios: list[float], advantage: float = 1.0) -> float:
    """phi of one response whose tokens have moved by these ratios."""
    old = [-1.0 - math.log(r) for r in ratios]
    batch = tokens([[-1.0] * len(ratios)], old_logprobs=[old], advantages=[advantage])
    found = gamma_weight(batch, **DEFAULTS)
    assert (found == found[:, :1]).all()
    return float(found[0, 0])


def test_by_hand() -> None:
    batch = tokens(
        [[-1.0, -2.0], [-3.0]],
        old_logprobs=[[-1.0 - math.log(4), -2.0 + math.log(2)], [-3.0 - math.log(2)]],
        advantages=[1.0, -1.0],
    )
    # W = 4 * 0.5 = 2 for both: phi = 2^2 e^-3 = 0.199148 where A = 1, 2^3 e^-2 = 1.082682 where -1
    # three tokens: (0.199148 * (1 + 2) - 1.082682 * 3) / 3
    near(loss_of(algorithms.vespo(), batch), 0.199148 - 1.082682)
    near(gradient_of(algorithms.vespo(), batch), [[-0.066383, -0.066383], [0.360894, 0]])


def test_the_advantage_is_the_distance_from_the_mean_of_the_group() -> None:
    near(advantages(algorithms.vespo(), rollout([1.0, 0.0, 0.0, 0.0]))[:, 0], [0.75] + [-0.25] * 3)


@pytest.mark.parametrize("advantage", [1.0, -1.0])
def test_the_weight_is_of_the_whole_response_without_a_mean_over_its_length(
    advantage: float,
) -> None:
    """One product, however it is spread; the same mean over more tokens is another product."""
    alone = weight([1.5], advantage)
    assert weight([3.0, 0.5], advantage) == pytest.approx(alone)
    assert weight([1.5, 1.0, 1.0, 1.0], advantage) == pytest.approx(alone)
    longer = weight([1.5] * 4, advantage)
    k, lam = (2, 3) if advantage > 0 else (3, 2)
    assert longer == pytest.approx(1.5 ** (4 * k) * math.exp(lam * (1 - 1.5**4)))
    assert longer < alone / 5


@pytest.mark.parametrize(("advantage", "k", "lam"), [(1.0, 2, 3), (-1.0, 3, 2), (0.0, 2, 3)])
def test_one_on_policy_largest_at_k_over_lambda_and_gone_far_away(
    advantage: float, k: int, lam: int
) -> None:
    assert weight([1.0], advantage) == 1.0
    peak = weight([k / lam], advantage)
    assert peak == pytest.approx((k / lam) ** k * math.exp(lam - k))
    points = [math.exp(x / 10) for x in range(-60, 60)]
    assert max(weight([w], advantage) for w in points) <= peak
    assert weight([1e-8], advantage) < 1e-14
    assert weight([30.0], advantage) < 1e-20


def test_a_stale_response_cannot_dominate_a_step() -> None:
    """The weight of importance sampling itself would be e^30 here."""
    batch = tokens([[-1.0] * 3] * 2, old_logprobs=[[-1.0] * 3, [-11.0] * 3], advantages=[1.0, -1.0])
    gradient = gradient_of(algorithms.vespo(), batch)
    near(gradient[0], [-1 / 6] * 3, atol=1e-12)
    assert (gradient[1] == 0).all()
