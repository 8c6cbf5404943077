from typing import Any

import pytest
import torch

from jumar import algorithms

from .hand import rollout

REWARDS = [0.2, 0.9, 0.1, 0.5, 0.4]


def kept(rows: Any, filtering: str = "best_worst") -> list[int]:
    return algorithms.pf_ppo(kept=filtering).keep(rows).nonzero()[:, 0].tolist()


def test_the_best_and_the_worst_of_each_group_are_kept() -> None:
    assert kept(rollout(REWARDS)) == [1, 2]
    assert kept(rollout(REWARDS, groups=[0, 1, 0, 1, 0])) == [1, 2, 3, 4]
    assert kept(rollout(REWARDS), "best") == [1]


def test_one_response_is_its_best_and_its_worst() -> None:
    assert kept(rollout([0.3])) == [0]


def test_among_equals_the_draw_decides_and_still_two_are_kept() -> None:
    chosen = {tuple(kept(rollout([1.0, 1.0, 0.0, 0.0, 0.0], step=step))) for step in range(40)}
    assert chosen == {(a, b) for a in (0, 1) for b in (2, 3, 4)}
    assert all(len(kept(rollout([0.0] * 5, step=step))) == 2 for step in range(10))


def test_beside_the_best_any_other_may_be_drawn_but_never_the_best_again() -> None:
    rows = [kept(rollout(REWARDS, step=step), "best_random") for step in range(60)]
    assert all(1 in row and len(row) == 2 for row in rows)
    assert {i for row in rows for i in row} == set(range(5))


@pytest.mark.parametrize("filtering", ["best_worst", "best_random", "best"])
def test_the_choice_belongs_to_the_rows_whatever_their_order(filtering: str) -> None:
    rows = rollout([0.0, 1.0, 0.0, 1.0, 0.0, 1.0], groups=[0, 0, 0, 1, 1, 1])
    order = torch.tensor([5, 0, 3, 1, 4, 2])
    keep = algorithms.pf_ppo(kept=filtering).keep
    assert torch.equal(keep(rows)[order], keep(rows.select(order)))


def test_noise_in_the_middle_of_the_scale_changes_nothing() -> None:
    """The paper's claim: what a rater is unsure of has no say."""
    noisy = [0.5, 0.9, 0.1, 0.2, 0.3]
    assert kept(rollout(noisy)) == kept(rollout(REWARDS))


def test_the_rest_is_ppo_with_a_kl_in_its_reward() -> None:
    plain, filtered = algorithms.ppo(kl_coef=0.01), algorithms.pf_ppo()
    for slot in ("reward", "advantage", "surrogate", "value_loss", "aggregate"):
        assert getattr(plain, slot) == getattr(filtered, slot)
