import math

import torch

from jumar import algorithms

from .hand import gradient_of, loss_of, near, tokens


def test_by_hand() -> None:
    batch = tokens(
        [[-1.0], [-2.0]],
        old_logprobs=[[-1.0 - math.log(7)], [-2.0 + math.log(2)]],
        advantages=[1.0, -1.0],
    )
    # r = 7 is capped at 5: -5 * 1 * (-1) = 5; r = 0.5: -0.5 * (-1) * (-2) = -1; mean 2
    near(loss_of(algorithms.cispo(), batch), 2.0)
    near(gradient_of(algorithms.cispo(), batch), [[-2.5], [0.25]])


def test_bounds_are_absolute_ratios() -> None:
    batch = tokens(
        [[-1.0], [-2.0]], old_logprobs=[[-1.0], [-2.0 + math.log(2)]], advantages=[1, -1]
    )
    near(gradient_of(algorithms.cispo(ratio_min=0.8), batch), [[-0.5], [0.4]])


def test_no_token_loses_its_gradient() -> None:
    """PPO's clip silences the tokens that moved most, such as a rare "however"."""
    ratios = [0.01, 0.5, 0.79, 1.0, 1.21, 2.0, 50.0]
    for a in (1.0, -1.0):
        batch = tokens(
            [[-1.0]] * 7, old_logprobs=[[-1.0 - math.log(r)] for r in ratios], advantages=[a] * 7
        )
        gradient = gradient_of(algorithms.cispo(), batch)
        assert (gradient.sign() == -a).all()
        clipped = gradient_of(algorithms.grpo(kl_coef=0.0), batch)
        assert (clipped == 0).sum() == 3


def test_the_cap_bounds_the_weight_of_a_token() -> None:
    batch = tokens([[-1.0]], old_logprobs=[[-1e4]], advantages=[1.0])
    assert torch.equal(gradient_of(algorithms.cispo(), batch), torch.tensor([[-5.0]]).double())
