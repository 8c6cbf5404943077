import math

import torch
from torch import Tensor

from jumar import algorithms

from .hand import advantages, loss_of, near, rollout, tokens

HBPO = algorithms.hbpo(limit=8)


def f(x: float) -> float:
    """Of a limit of 8 tokens."""
    return 4 * math.cos(math.pi * x / 16)


def rewards(lengths: list[int], budgets: list[float], right: list[float]) -> Tensor:
    return HBPO.reward(rollout(right, lengths=lengths, budgets=budgets))


def test_by_hand() -> None:
    # f(2) = 3.695518, f(4) = 2.828427, f(6) = 1.530734
    found = rewards([2, 6, 4, 4, 2, 9], [4.0, 4.0, 4.0, 0.0, 4.0, 4.0], [1, 1, 1, 1, 0, 1])
    # shorter: f(2) - 2/8, but no more than f(4); longer: f(6) - 2/8; on it: f(4); none named: f(4);
    # wrong; over the limit
    near(found, [2.828427, 1.280734, 2.828427, 2.828427, 0.0, 0.0])


def test_the_advantage_has_two_levels_by_hand() -> None:
    rows = rollout([1, 1, 1, 0], lengths=[4, 4, 2, 2], budgets=[4.0, 4.0, 2.0, 2.0])
    # R = f(4), f(4), f(2), 0; subgroup means f(4) and f(2) / 2, against f(4) and f(2)
    values = torch.tensor([f(4), f(4), f(2), 0.0], dtype=torch.float64)
    across = (values - values.mean()) / (values.std() + 1e-6)
    within = torch.tensor([0.0, 0.0, -f(2) / 2, -f(2) / 2], dtype=torch.float64)
    near(advantages(HBPO, rows)[:, 0], across + within)


def test_a_subgroup_that_meets_its_budget_adds_nothing_and_one_that_fails_loses_its_worth() -> None:
    rows = rollout([1] * 4, lengths=[4] * 4, budgets=[4.0] * 4)
    near(advantages(HBPO, rows)[:, 0], [0.0] * 4)
    rows = rollout([0] * 4, lengths=[4] * 4, budgets=[2.0, 2.0, 6.0, 6.0])
    near(advantages(HBPO, rows)[:, 0], [-f(2), -f(2), -f(6), -f(6)])


def test_without_budgets_brevity_is_all_and_the_worth_is_that_of_the_limit() -> None:
    rows = rollout([1, 1, 0], lengths=[2, 6, 4], budgets=[0.0] * 3)
    values = torch.tensor([f(2), f(6), 0.0], dtype=torch.float64)
    across = (values - values.mean()) / (values.std() + 1e-6)
    near(advantages(HBPO, rows)[:, 0], across + values.mean())  # f(8) = 0


def test_the_smallest_budget_that_solves_a_prompt_is_worth_most() -> None:
    """The paper's point, on a response that uses what it was given."""
    worth = rewards([1, 2, 4, 6], [1.0, 2.0, 4.0, 6.0], [1, 1, 1, 1])
    assert (worth[1:] < worth[:-1]).all()


def test_brevity_below_the_budget_is_not_paid_so_large_budgets_keep_exploring() -> None:
    worth = rewards([6, 5, 4], [6.0, 6.0, 6.0], [1, 1, 1])
    near(worth, [f(6)] * 3, atol=1e-12)


def test_several_groups_are_the_released_codes_two_terms_each_taken_once() -> None:
    g = torch.Generator().manual_seed(0)
    groups = [0, 1] * 8
    budgets = torch.tensor([2.0, 4.0, 6.0, 0.0])[torch.randint(0, 4, (16,), generator=g)]
    lengths = torch.randint(1, 9, (16,), generator=g).tolist()
    right = (torch.rand(16, generator=g) < 0.6).double()
    rows = rollout(right.tolist(), groups=groups, lengths=lengths, budgets=budgets.double())
    values = HBPO.reward(rows)
    expected = []
    for i in range(16):
        group = [k for k in range(16) if groups[k] == groups[i]]
        same = [k for k in group if budgets[k] == budgets[i]]
        across = (values[i] - values[group].mean()) / (values[group].std() + 1e-6)
        expected.append(across + values[same].mean() - f(float(budgets[i]) or 8))
    near(advantages(HBPO, rows)[:, 0], torch.stack(expected), atol=1e-9)


def test_a_bad_token_whose_ratio_exploded_costs_three_times_its_advantage_at_most() -> None:
    batch = tokens([[-1.0]], old_logprobs=[[-1.0 - math.log(4)]], advantages=[-1.0])
    near(loss_of(algorithms.hbpo(), batch), 3.0)
    near(loss_of(algorithms.hbpo(dual_clip=None), batch), 4.0)


def test_every_token_counts_the_same_and_a_good_one_is_clipped_above_128_percent() -> None:
    batch = tokens(
        [[-1.0, -1.0, -1.0], [-1.0]],
        old_logprobs=[[-1.0, -1.0, -1.0], [-1.0 - math.log(2)]],
        advantages=[1.0, 1.0],
    )
    near(loss_of(algorithms.hbpo(), batch), -(3 + 1.28) / 4)
