import math

import torch
from torch import Tensor

from jumar import algorithms

from .hand import advantages, loss_of, near, rollout, tokens


def of(rewards: list[float], responses: list[list[int]], **settings: float) -> Tensor:
    width = max(len(r) for r in responses)
    ids = torch.tensor([[*r, *[0] * (width - len(r))] for r in responses])
    batch = rollout(rewards, lengths=[len(r) for r in responses], token_ids=ids)
    return advantages(algorithms.tempo(**settings), batch)


def test_by_hand() -> None:
    # mean 1/4, std 1/2. V of nothing 1/4; of (5): 1/3; of (5, 6): 1/2; of (5, 7): 0; of (8): 0
    # row 0: 0.75 + (1/12, 1/6, 1/2)            row 1: -0.25 + (1/12, 1/6, -1/2)
    # row 2: -0.25 + (1/12, -1/3, 0)            row 3: -0.25 + (-1/4, 0)
    found = of([1.0, 0.0, 0.0, 0.0], [[5, 6, 1], [5, 6, 2], [5, 7, 1], [8, 6]], eps=0.0)
    near(
        found / 2,
        [
            [0.75 + 1 / 12, 0.75 + 1 / 6, 0.75 + 1 / 2],
            [-0.25 + 1 / 12, -0.25 + 1 / 6, -0.75],
            [-0.25 + 1 / 12, -0.25 - 1 / 3, -0.25],
            [-0.5, -0.25, 0],
        ],
    )


def test_the_token_at_the_fork_is_credited_and_the_shared_ones_are_treated_alike() -> None:
    found = of([1.0, 0.0, 1.0, 0.0], [[3, 4, 9], [3, 5, 9], [3, 4, 8], [3, 5, 8]])
    plain = of([1.0, 0.0, 1.0, 0.0], [[1, 4, 9], [2, 5, 9], [6, 4, 8], [7, 5, 8]])
    assert (found[:, 1].abs() > plain[:, 1].abs()).all()
    near(found[:, [0, 2]], plain[:, [1, 2]])


def test_where_no_prefix_is_shared_only_the_first_token_differs_from_grpo() -> None:
    rewards = [1.0, 0.0, 0.5]
    found = of(rewards, [[1, 7, 7], [2, 7, 7], [3, 7]])
    grpo = advantages(algorithms.grpo(), rollout(rewards, lengths=[3, 3, 2]))
    near(found[:, 1:], grpo[:, 1:], atol=1e-12)
    near(found[:, 0], 2 * grpo[:, 0], atol=1e-12)


def test_along_a_response_the_changes_add_up_to_its_distance_from_the_mean() -> None:
    """V telescopes: from the group's mean to the response's own reward."""
    rewards = [1.0, 0.0, 0.25, 0.0]
    responses = [[5, 6, 1], [5, 6, 2], [5, 7, 1], [8, 6, 1]]
    change = of(rewards, responses, eps=0.0) - advantages(
        algorithms.grpo(eps=0.0), rollout(rewards, lengths=[3] * 4)
    )
    centred = advantages(algorithms.grpo(eps=0.0), rollout(rewards))[:, 0]
    near(change.sum(dim=1), centred)


def literal(rewards: list[float], responses: list[list[int]]) -> list[list[float]]:
    """Response by response and token by token, as paper and released code walk the tree."""
    group = torch.tensor(rewards, dtype=torch.float64)
    scale = group.std() + 1e-6
    rows = []
    for i, response in enumerate(responses):
        row, here = [], list(range(len(responses)))
        for t in range(len(response)):
            after = [k for k in here if responses[k][: t + 1] == response[: t + 1]]
            step = group[after].mean() - group[here].mean()
            row.append(float((group[i] - group.mean() + step) / scale))
            here = after
        rows.append(row)
    return rows


def test_it_is_the_released_codes_walk_along_the_tree() -> None:
    g = torch.Generator().manual_seed(0)
    responses = torch.randint(0, 2, (12, 6), generator=g).tolist()
    rewards = torch.rand(12, generator=g, dtype=torch.float64).tolist()
    near(of(rewards, responses), literal(rewards, responses), atol=1e-12)


def test_a_response_that_ended_shares_nothing_with_one_that_goes_on() -> None:
    """Padding is not a token: the first is alone from its end on, and so is the second."""
    found = of([1.0, 0.0], [[5], [5, 0]], eps=0.0)
    near(found[1], [-0.5 / 0.707107, -1.0 / 0.707107])


def test_a_bad_token_whose_ratio_exploded_costs_three_times_its_advantage_at_most() -> None:
    batch = tokens([[-1.0]], old_logprobs=[[-1.0 - math.log(4)]], advantages=[-1.0])
    near(loss_of(algorithms.tempo(), batch), 3.0)
    near(loss_of(algorithms.tempo(dual_clip=None), batch), 4.0)
