import math

import pytest
import torch
from torch import Tensor

from jumar import algorithms
from jumar.algorithm import compute_signals
from jumar.algorithms.dcpo import dynamic_bounds
from jumar.types import State

from .hand import gradient_of, loss_of, near, rollout, tokens


def after(*rollouts: list[float]) -> tuple[Tensor, State]:
    """The advantages of the last of several rollouts of one prompt, and the state after it."""
    algorithm = algorithms.dcpo()
    state = algorithm.init_state()
    for rewards in rollouts:
        signals, state = compute_signals(algorithm, rollout(rewards), state)
    return signals.advantages[:, 0], state


def bounds(q: float, **settings: float) -> tuple[float, float]:
    given = {"clip_low": 0.16, "clip_high": 0.2, "ratio_max": 10.0, **settings}
    low, high = dynamic_bounds(torch.tensor([math.log(q)], dtype=torch.float64), **given)
    return float(low), float(high)


def test_the_first_rollout_is_grpo_without_eps() -> None:
    a, state = after([1.0, 0.0, 0.0, 0.0])
    near(a, [1.5, -0.5, -0.5, -0.5])
    assert {n: c.tolist() for n, c in state.items()} == {
        "prompt_ids": [100], "times": [1.0], "mean": [0.25], "std": [0.5],
    }  # fmt: skip


def test_a_later_group_of_one_kind_still_learns_by_what_the_prompt_earned_before() -> None:
    # means 1/4 and 1: 5/8 in all; variance (1/4 + 0 + 1/2 * 9/16) / 2 = 0.265625, std 0.515388;
    # T = 0.375 / 0.515388 = 0.727607, N = 0: both mixtures are T / 2
    a, state = after([1.0, 0.0, 0.0, 0.0], [1.0, 1.0, 1.0, 1.0])
    near(a, [0.363803] * 4)
    near(state["std"], [0.515388])


def test_the_smaller_of_the_two_mixtures_by_hand() -> None:
    # the third: mean (2 * 5/8 + 1/2) / 3 = 0.583333; variance (2 * 0.265625 + 1/3 + 2/3 * (1/8)^2)
    # / 3 = 0.291667, std 0.540062; N = 0.5 / 0.577350 = 0.866025
    # right: T = 0.771517, 2/3 N + 1/3 T = 0.834523, 1/3 N + 2/3 T = 0.803020: the latter
    # wrong: T = -1.080123, 2/3 N + 1/3 T = -0.937391, 1/3 N + 2/3 T = -1.008757: the former
    a, _ = after([1.0, 0.0, 0.0, 0.0], [1.0] * 4, [1.0, 1.0, 0.0, 0.0])
    near(a, [0.803020, 0.803020, -0.937391, -0.937391])


def test_prompts_do_not_see_each_other() -> None:
    algorithm = algorithms.dcpo()
    first = rollout([1.0, 0.0, 0.0, 0.0], groups=[0, 0, 1, 1])
    _, state = compute_signals(algorithm, first, algorithm.init_state())
    signals, _ = compute_signals(algorithm, rollout([0.0, 0.0], groups=[1, 1]), state)
    assert (signals.advantages == 0).all()


def test_the_bounds_of_the_papers_table() -> None:
    # r q for q = 0.9 and 0.01: p from 0.69 to 1.06, and from 0.005 to 0.05
    near([x * 0.9 for x in bounds(0.9)], [0.69, 1.06], atol=1e-2)
    near([x * 0.01 for x in bounds(0.01)], [0.005, 0.05], atol=5e-4)
    near(bounds(1.0), [0.8, 1.170820])
    near(bounds(0.1), [0.5, 2.0])
    near(bounds(1e-9), [0.5, 10.0])


@pytest.mark.parametrize("q", [0.05, 0.3, 0.7, 1.0])
def test_at_its_bound_a_ratio_is_the_clip_away_by_r_times_the_distance(q: float) -> None:
    """(r - 1) r q = clip: the further an unlikely token may go, the closer a likely one stays."""
    high = bounds(q)[1]
    near((high - 1) * high * q, 0.2)
    low = bounds(q)[0]
    assert low == 0.5 or (1 - low) * low * q == pytest.approx(0.16)


def test_loss_and_gradient_by_hand() -> None:
    batch = tokens(
        [[math.log(0.18)], [math.log(0.9)]],
        old_logprobs=[[math.log(0.1)], [math.log(0.7)]],
        advantages=[1.0, 1.0],
    )
    # the first went to 1.8 < 2.0 and is kept; the second to 1.285714, over its bound of 1.231925
    near(loss_of(algorithms.dcpo(), batch), -(1.8 + 1.231925) / 2)
    near(gradient_of(algorithms.dcpo(), batch)[:, 0], [-0.9, 0.0])


def by_released_rule(rollouts: list[list[float]]) -> list[float]:
    """One prompt, number by number: running mean and std, two mixtures, the smaller of them."""
    mean = std = 0.0
    for n, rewards in enumerate(rollouts, start=1):
        r = torch.tensor(rewards, dtype=torch.float64)
        new_mean, new_std = float(r.mean()), float(r.std())
        apart = (n - 1) / n * (new_mean - mean) ** 2
        mean = ((n - 1) * mean + new_mean) / n
        std = math.sqrt(((n - 1) * std**2 + new_std**2 + (apart if n > 1 else 0)) / n)
    found = []
    for x in rewards:
        now = (x - new_mean) / new_std if new_std else 0.0
        ever = (x - mean) / std if std else 0.0
        both = [now + (ever - now) / n, ever + (now - ever) / n]
        found.append(min(both, key=abs))
    return found


def test_several_rollouts_are_judged_as_by_the_released_code() -> None:
    g = torch.Generator().manual_seed(0)
    rollouts = (torch.rand(5, 6, generator=g, dtype=torch.float64) < 0.4).double().tolist()
    for n in range(1, 6):
        near(after(*rollouts[:n])[0], by_released_rule(rollouts[:n]), atol=1e-12)


def test_the_bounds_are_those_of_the_released_code() -> None:
    for q in (0.01, 0.2, 0.5, 0.9, 1.0):
        low = (1 + math.sqrt(max(1 - 4 * 0.16 / q, 0))) / 2
        high = min((1 + math.sqrt(1 + 4 * 0.2 / q)) / 2, 10.0)
        near(bounds(q), [low, high], atol=1e-12)
