import math

import pytest
import torch

from jumar import algorithms

from .hand import gradient_of, loss_of, near, tokens


def one(log_ratio: float, advantage: float, **settings: float | None) -> tuple[float, float]:
    """Loss and gradient of a single token."""
    batch = tokens([[-1.0]], old_logprobs=[[-1.0 - log_ratio]], advantages=[advantage])
    algorithm = algorithms.get("gppo", **settings)
    return float(loss_of(algorithm, batch).detach()), float(gradient_of(algorithm, batch))


@pytest.mark.parametrize(
    ("ratio", "advantage", "loss", "gradient"),
    [
        (1.25, 1.0, -1.25, -1.25),
        (1.3, 1.0, -1.28, -1.28),  # PPO: the same loss, no gradient
        (50.0, 1.0, -1.28, -1.28),
        (0.1, 1.0, -0.1, -0.1),
        (0.7, -1.0, 0.8, 0.8),  # PPO: the same loss, no gradient
        (0.01, -1.0, 0.8, 0.8),
        (9.0, -1.0, 9.0, 9.0),
        (20.0, -1.0, 10.0, 0.0),  # the dual clip
    ],
)
def test_by_hand(ratio: float, advantage: float, loss: float, gradient: float) -> None:
    assert one(math.log(ratio), advantage) == pytest.approx((loss, gradient))


def test_the_betas_scale_what_flows_through_each_bound_and_its_value() -> None:
    assert one(math.log(0.7), -1.0, beta_low=0.25) == pytest.approx((0.2, 0.2))
    assert one(math.log(1.3), 1.0, beta_high=0.5) == pytest.approx((-0.64, -0.64))
    assert one(math.log(1.3), 1.0, beta_low=0.25) == pytest.approx((-1.28, -1.28))
    assert one(math.log(1.3), 1.0, beta_high=0.0)[1] == 0


def test_the_value_is_that_of_the_clip_and_only_the_gradient_differs() -> None:
    g = torch.Generator().manual_seed(0)
    logprobs = -torch.rand(8, 5, generator=g, dtype=torch.float64) - 1
    old = logprobs + torch.randn(8, 5, generator=g, dtype=torch.float64)
    advantages = torch.randn(8, generator=g, dtype=torch.float64)
    batch = tokens(logprobs, old_logprobs=old, advantages=advantages)
    near(loss_of(algorithms.gppo(), batch), loss_of(algorithms.dapo(), batch), atol=1e-12)
    kept, clipped = (gradient_of(f(), batch) for f in (algorithms.gppo, algorithms.dapo))
    silent = clipped == 0
    assert silent.any()
    assert not silent.all()
    near(kept[~silent], clipped[~silent], atol=1e-12)
    near(gradient_of(algorithms.gppo(beta_low=0.0, beta_high=0.0), batch), clipped, atol=1e-12)


@pytest.mark.parametrize("advantage", [1.0, -1.0])
def test_every_token_below_the_dual_clip_learns_and_none_more_than_its_bound(
    advantage: float,
) -> None:
    for log_ratio in (-1e4, -20.0, -1.0, 0.0, 0.2, 1.0, 20.0, 1e4):
        _, gradient = one(log_ratio, advantage, dual_clip=None)
        if advantage > 0:
            assert 0 < -gradient <= 1.28 or log_ratio == -1e4  # there the ratio itself is 0
        elif log_ratio < 20:
            assert gradient >= 0.8 - 1e-12
