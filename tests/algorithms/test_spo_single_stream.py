import pytest
import torch
from torch import Tensor

from jumar import algorithms
from jumar.algorithm import compute_signals
from jumar.types import State

from .hand import near, rollout


def step(state: State, rewards: list[float], prompts: list[int]) -> tuple[Tensor, State]:
    algorithm = algorithms.spo_single_stream()
    signals, state = compute_signals(algorithm, rollout(rewards, groups=prompts), state)
    return signals.advantages[:, 0], state


def fresh() -> State:
    return algorithms.spo_single_stream().init_state()


def test_by_hand() -> None:
    # unseen: V = 1/2 for all; distances 1/2, -1/2, -1/2: mean -1/6, std 0.577350
    a, state = step(fresh(), [1.0, 0.0, 0.0], [0, 1, 2])
    near(a, [1.154701, -0.577350, -0.577350])
    near(state["alpha"], [0.875 * 0.5 + 1, 0.875 * 0.5, 0.875 * 0.5])
    near(state["beta"], [0.875 * 0.5, 0.875 * 0.5 + 1, 0.875 * 0.5 + 1])
    # V = 1.4375 / 1.875 = 0.766667 and 0.233333 after a right and a wrong one
    # right again: 0.233333, wrong again: -0.233333: mean 0, std 0.329983
    a, _ = step(state, [1.0, 0.0], [0, 1])
    near(a, [0.707107, -0.707107])


def test_the_unexpected_counts_more_than_the_expected() -> None:
    """Two right answers: of a prompt that was always right, and of one that never was."""
    state = fresh()
    for _ in range(6):
        _, state = step(state, [1.0, 0.0], [0, 1])
    a, _ = step(state, [1.0, 1.0, 0.0, 0.0], [0, 1, 0, 1])
    assert a[1] > a[0]
    assert a[2] < a[3]


def test_a_group_that_is_all_right_still_learns() -> None:
    a, _ = step(fresh(), [1.0, 1.0, 0.0], [0, 0, 1])
    assert (a[:2] > 0).all()


def test_the_tracker_approaches_the_rate_and_forgets_an_old_one() -> None:
    state = fresh()
    for _ in range(60):
        _, state = step(state, [1.0, 0.0], [0, 1])
    total = state["alpha"] + state["beta"]
    near(total, [8.0, 8.0], atol=1e-2)  # 1 / (1 - 0.875) verdicts
    assert state["alpha"][0] / total[0] == pytest.approx(1, abs=1e-3)
    for _ in range(10):
        _, state = step(state, [0.0], [0])
    assert state["alpha"][0] / (state["alpha"] + state["beta"])[0] < 0.3


def test_rows_without_siblings_are_enough() -> None:
    a, _ = step(fresh(), [1.0, 0.0, 1.0, 1.0], [3, 4, 5, 6])
    assert a.any()
    near(a.sum(), 0.0)
    near(a.std(), 1.0)
    assert torch.equal(a[[0, 2]], a[[2, 3]])
