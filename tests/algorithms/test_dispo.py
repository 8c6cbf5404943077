import math

import pytest
import torch

from jumar import algorithms

from .hand import gradient_of, loss_of, near, tokens

RATIOS = [0.1, 0.5, 0.9, 1.0, 1.2, 7.0, 50.0, 500.0]


def weights(name: str, advantage: float, **settings: float) -> torch.Tensor:
    """[ratios]: the gradient of one token at each ratio, as a multiple of -A."""
    rows = [[-1.0 - math.log(r)] for r in RATIOS]
    batch = tokens([[-1.0]] * len(RATIOS), old_logprobs=rows, advantages=[advantage] * len(RATIOS))
    return gradient_of(algorithms.get(name, **settings), batch)[:, 0] * len(RATIOS) / -advantage


def test_by_hand() -> None:
    batch = tokens(
        [[-1.0], [-2.0]],
        old_logprobs=[[-1.0 + math.log(2)], [-2.0 - math.log(20)]],
        advantages=[1.0, -1.0],
    )
    # right: r = 0.5 is raised to 0.8: 0.8; wrong: r = 20 stays: 20 * (-2) = -40; mean of both
    near(loss_of(algorithms.dispo(), batch), (0.8 - 40) / 2)
    near(gradient_of(algorithms.dispo(), batch), [[-0.4], [10.0]])


def test_each_of_the_four_bounds_acts_on_its_own_tokens_alone() -> None:
    near(weights("dispo", 1.0), [0.8, 0.8, 0.9, 1.0, 1.2, 7.0, 11.0, 11.0])
    near(weights("dispo", -1.0), [0.1, 0.5, 0.9, 1.0, 1.2, 7.0, 50.0, 101.0])
    plain = {sign: weights("dispo", sign) for sign in (1.0, -1.0)}
    for setting, value, sign, above in [
        ("ratio_max_right", 2.0, 1.0, True),
        ("ratio_min_right", 0.95, 1.0, False),
        ("ratio_max_wrong", 2.0, -1.0, True),
        ("ratio_min_wrong", 0.95, -1.0, False),
    ]:
        moved = weights("dispo", sign, **{setting: value}) != plain[sign]
        assert moved.any()
        assert not moved[torch.tensor(RATIOS) <= 1 if above else torch.tensor(RATIOS) >= 1].any()
        assert torch.equal(weights("dispo", -sign, **{setting: value}), plain[-sign])


@pytest.mark.parametrize("advantage", [1.0, -1.0])
def test_with_both_ranges_alike_it_is_cispo(advantage: float) -> None:
    alike = {f"ratio_min_{side}": 0.0 for side in ("right", "wrong")}
    alike |= {f"ratio_max_{side}": 5.0 for side in ("right", "wrong")}
    assert torch.equal(weights("dispo", advantage, **alike), weights("cispo", advantage))


@pytest.mark.parametrize("advantage", [1.0, -1.0])
def test_cispo_dispo_and_gppo_are_one_inside_ppos_range_and_never_silent_outside(
    advantage: float,
) -> None:
    inside = [0.8 <= r <= 1.28 for r in RATIOS]
    for name in ("cispo", "dispo", "gppo"):
        settings = {"dual_clip": None} if name == "gppo" else {}
        found = weights(name, advantage, **settings)
        near(found[inside], [r for r in RATIOS if 0.8 <= r <= 1.28], atol=1e-12)
        assert (found > 0).all()
    ppo = weights("dapo", advantage)
    assert (ppo == 0).any()
