from typing import Any

import pytest
import torch

from jumar import algorithms
from jumar.algorithm import compute_signals
from jumar.types import RolloutBatch, Signals

from .hand import gradient_of, loss_of, near, rollout, tokens

REWARDS = [0.2, 0.9, 0.1, 0.5, 0.4]


def scored(scores: list[float], **columns: Any) -> RolloutBatch:
    """Responses of one token, of a policy that is its reference and a critic that knows nothing."""
    nothing = torch.zeros(len(scores), 1, dtype=torch.float64)
    names = ("old_values", "old_logprobs", "ref_logprobs")
    given = torch.tensor(scores, dtype=torch.float64)
    return rollout(scores, scores=given, **{n: nothing for n in names}, **columns)


def signals_of(rows: RolloutBatch, filtering: str = "best_worst") -> Signals:
    return compute_signals(algorithms.pf_ppo(kept=filtering), rows, {})[0]


def kept(rows: RolloutBatch, filtering: str = "best_worst") -> list[int]:
    return signals_of(rows, filtering).columns["filter_weights"].nonzero()[:, 0].tolist()


def test_the_best_and_the_worst_of_each_group_are_kept() -> None:
    assert kept(scored(REWARDS)) == [1, 2]
    assert kept(scored(REWARDS, groups=[0, 1, 0, 1, 0])) == [1, 2, 3, 4]
    assert kept(scored(REWARDS), "best") == [1]


def test_one_response_is_its_best_and_its_worst() -> None:
    assert kept(scored([0.3])) == [0]


def test_among_equals_the_draw_decides_and_still_two_are_kept() -> None:
    chosen = {tuple(kept(scored([1.0, 1.0, 0.0, 0.0, 0.0], step=step))) for step in range(40)}
    assert chosen == {(a, b) for a in (0, 1) for b in (2, 3, 4)}
    assert all(len(kept(scored([0.0] * 5, step=step))) == 2 for step in range(10))


def test_beside_the_best_any_other_may_be_drawn_but_never_the_best_again() -> None:
    rows = [kept(scored(REWARDS, step=step), "best_random") for step in range(60)]
    assert all(1 in row and len(row) == 2 for row in rows)
    assert {i for row in rows for i in row} == set(range(5))


@pytest.mark.parametrize("filtering", ["best_worst", "best_random", "best"])
def test_the_choice_belongs_to_the_rows_whatever_their_order(filtering: str) -> None:
    rows = scored([0.0, 1.0, 0.0, 1.0, 0.0, 1.0], groups=[0, 0, 0, 1, 1, 1])
    order = torch.tensor([5, 0, 3, 1, 4, 2])
    chosen = signals_of(rows, filtering).columns["filter_weights"]
    again = signals_of(rows.select(order), filtering).columns["filter_weights"]
    assert torch.equal(chosen[order], again)


def test_noise_in_the_middle_of_the_scale_changes_nothing() -> None:
    """The paper's claim: what a rater is unsure of has no say."""
    noisy = [0.5, 0.9, 0.1, 0.2, 0.3]
    assert kept(scored(noisy)) == kept(scored(REWARDS))


def test_what_is_kept_counts_for_what_was_left_out() -> None:
    near(signals_of(scored(REWARDS)).columns["filter_weights"], [0, 2.5, 2.5, 0, 0])


def test_what_is_left_out_is_compared_with_all_the_same_by_hand() -> None:
    # mean 0.42, unbiased std sqrt(0.388 / 4) = 0.311448: the best has 0.48 / 0.311448
    signals = signals_of(scored(REWARDS), "best")
    near(signals.advantages[1], [1.541188], atol=1e-5)
    # whitened after the filter, the best of two groups would be one good and one bad
    both = signals_of(scored([0.9, 0.1, 0.1, 0.8, 0.1, 0.1], groups=[0, 0, 0, 1, 1, 1]), "best")
    assert (both.advantages[both.columns["filter_weights"] > 0] > 0).all()


def test_the_losses_are_means_over_kept_responses_of_their_means_by_hand() -> None:
    batch = tokens(
        [[-1.0, -1.0], [-1.0, None], [-1.0, None]],
        old_logprobs=[[-1.0, -1.0], [-1.0, None], [-1.0, None]],
        advantages=[1.0, -1.0, 5.0],
        filter_weights=[1.5, 1.5, 0.0],
        values=[[0.0, 0.0], [0.0, None], [0.0, None]],
        old_values=[[0.0, 0.0], [0.0, None], [0.0, None]],
        returns=[[2.0, 0.0], [1.0, None], [9.0, None]],
    )
    gradient = gradient_of(algorithms.pf_ppo(), batch)
    near(gradient, [[-0.25, -0.25], [0.5, 0.0], [0.0, 0.0]])
    # surrogate (-1 + 1) / 2; values 0.5 * ((4 + 0) / 2 + 1) / 2
    near(loss_of(algorithms.pf_ppo(), batch), 0.75)


def test_the_rest_is_ppo_with_a_kl_in_its_reward() -> None:
    plain, filtered = algorithms.ppo(kl_coef=0.01, lam=0.95), algorithms.pf_ppo()
    assert (plain.reward, plain.surrogate) == (filtered.reward, filtered.surrogate)
    assert dict(filtered.advantage.settings)["advantage"] == plain.advantage
    assert dict(filtered.value_loss.settings)["loss"] == plain.value_loss
