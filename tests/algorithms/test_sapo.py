import math

import pytest
import torch

from jumar import algorithms

from .hand import gradient_of, loss_of, near, tokens

RATIOS = [0.01, 0.5, 0.79, 1.0, 1.21, 2.0, 5.0]


def slopes(advantage: float, **settings: float) -> torch.Tensor:
    """[ratios]: the gradient of one token at each ratio."""
    rows = [[-1.0 - math.log(r)] for r in RATIOS]
    batch = tokens([[-1.0]] * len(RATIOS), old_logprobs=rows, advantages=[advantage] * len(RATIOS))
    return gradient_of(algorithms.sapo(**settings), batch)[:, 0] * len(RATIOS)


def test_by_hand() -> None:
    batch = tokens(
        [[-1.0], [-1.0, -2.0]],
        old_logprobs=[[-1.0 - math.log(2)], [-1.0, -2.0 + math.log(2)]],
        advantages=[1.0, -1.0],
    )
    # A = 1, r = 2: -4 sigmoid(1) = -2.924234
    # A = -1, r = 1: 4 / 1.05 / 2 = 1.904762; r = 0.5: 4 / 1.05 sigmoid(-0.525) = 1.415938
    near(loss_of(algorithms.sapo(), batch), (-2.924234 + (1.904762 + 1.415938) / 2) / 2)
    # A f'(r) r: 4 s (1 - s) * 2 = 1.572895; 1; sech(0.2625)^2 / 2 = 0.467070
    near(gradient_of(algorithms.sapo(), batch), [[-1.572895 / 2, 0], [1 / 4, 0.467070 / 4]])


@pytest.mark.parametrize(("advantage", "tau"), [(1.0, 1.0), (-1.0, 1.05)])
def test_the_gate_passes_the_policy_gradient_at_1_and_fades_as_a_squared_sech(
    advantage: float, tau: float
) -> None:
    expected = [-advantage * r / math.cosh(tau * (r - 1) / 2) ** 2 for r in RATIOS]
    near(slopes(advantage), expected, atol=1e-12)
    assert expected[RATIOS.index(1.0)] == -advantage


def test_tokens_outside_ppos_clip_fade_where_ppo_drops_them() -> None:
    soft = slopes(1.0)
    rows = [[-1.0 - math.log(r)] for r in RATIOS]
    batch = tokens([[-1.0]] * 7, old_logprobs=rows, advantages=[1.0] * 7)
    hard = gradient_of(algorithms.grpo(kl_coef=0.0), batch)[:, 0] * 7
    assert (hard == 0).tolist() == [r > 1.2 for r in RATIOS]
    assert (soft < 0).all()
    gate = soft.abs() / torch.tensor(RATIOS)  # what is left of the unclipped gradient
    assert (gate[3:].diff() < 0).all()
    assert (gate[:4].diff() > 0).all()


def test_bad_tokens_fade_sooner_than_good_ones() -> None:
    good, bad = slopes(1.0).abs(), slopes(-1.0).abs()
    away = torch.tensor(RATIOS) != 1
    assert (bad < good)[away].all()
    near(slopes(-1.0, tau_neg=1.0), -slopes(1.0), atol=1e-12)
