import math
from itertools import combinations

import pytest
import torch
from torch.nn.functional import logsigmoid

from jumar import algorithms

from .hand import gradient_of, loss_of, near, tokens

FREE = {"kl_coef": 0.0}


def nll(x: float) -> float:
    """-log sigmoid"""
    return math.log1p(math.exp(-x))


def test_by_hand() -> None:
    batch = tokens(
        [[-1.0, -1.0], [-1.0], [-1.0]],
        ref_logprobs=[[-2.0, -4.0], [-1.5], [-1.0]],
        rewards=[1.0, 0.2, 0.0],
        correct=[True, False, False],
    )
    # s = 2, 0.5, 0; of pairs led by the right one the sharpness is 2.5 * 0.4 = 1, of the other 0.4
    expected = (nll(1.5) + nll(2.0) + nll(0.2)) / 3
    near(loss_of(algorithms.trpa(beta=0.4, **FREE), batch), expected)


def test_the_trust_region_is_around_the_policy_that_sampled() -> None:
    same = [[-1.0], [-1.0]]
    batch = tokens(
        same,
        ref_logprobs=same,
        old_logprobs=[[-1.0], [-1.0 + math.log(2)]],
        rewards=[1.0, 0.0],
        correct=[True, False],
    )
    # -log sigmoid(0) = log 2; k3 = 2 - log 2 - 1 at one token of two
    near(loss_of(algorithms.trpa(kl_coef=4.0), batch), math.log(2) + 2 * 0.306853)


def test_a_group_without_a_pair_is_raised_or_lowered_as_a_whole() -> None:
    batch = tokens(
        [[-1.0], [-1.0], [-1.0], [-1.0]],
        ref_logprobs=[[-2.0], [-1.0], [-2.0], [-1.0]],
        rewards=[1.0, 1.0, 0.0, 0.0],
        correct=[True, True, False, False],
        groups=[0, 0, 1, 1],
    )
    expected = ((nll(1.0) + nll(0.0)) / 2 + (nll(-1.0) + nll(0.0)) / 2) / 2
    near(loss_of(algorithms.trpa(**FREE), batch), expected)


@pytest.mark.parametrize("levels", [[1, 2, 3, 4, 1, 2], [1, 3, 3, 1, 3, 3], [2, 4, 4, 4, 4, 2]])
def test_within_a_group_it_is_the_released_code(levels: list[int]) -> None:
    """Pairs of levels, 1 the best, listed one by one as its core_algos does."""
    g = torch.Generator().manual_seed(1)
    now = -torch.rand(6, 4, generator=g, dtype=torch.float64)
    ref = -torch.rand(6, 4, generator=g, dtype=torch.float64)
    leaf = now.clone().requires_grad_()
    score = (leaf - ref).mean(dim=1)
    terms = []
    for i, j in combinations(range(6), 2):
        if levels[i] != levels[j]:
            good, bad = (i, j) if levels[i] < levels[j] else (j, i)
            scale = 2.5 * 0.1 if levels[good] == 1 else 0.1
            terms.append(-logsigmoid(scale * (score[good] - score[bad])))
    theirs = torch.stack(terms).mean()
    (expected,) = torch.autograd.grad(theirs, leaf)
    batch = tokens(
        now,
        ref_logprobs=ref,
        rewards=[-float(level) for level in levels],
        correct=[level == 1 for level in levels],
    )
    near(loss_of(algorithms.trpa(**FREE), batch), theirs.detach(), atol=1e-12)
    near(gradient_of(algorithms.trpa(**FREE), batch), expected, atol=1e-12)


def test_a_pair_of_right_and_wrong_is_dpo_on_mean_log_ratios() -> None:
    batch = tokens(
        [[-1.0], [-2.0]],
        ref_logprobs=[[-1.4], [-1.7]],
        rewards=[1.0, 0.0],
        correct=[True, False],
    )
    mine = algorithms.trpa(beta=0.2, anisotropy=1.5, **FREE)
    near(loss_of(mine, batch), loss_of(algorithms.dpo(beta=0.3), batch).detach(), atol=1e-12)


def test_only_the_order_of_rewards_counts() -> None:
    """The paper's defence against reward hacking: no reward's size reaches the loss."""
    columns = {
        "ref_logprobs": [[-1.4], [-1.7], [-1.0]],
        "correct": [True, False, False],
    }
    same = [[-1.0], [-2.0], [-1.5]]
    small = tokens(same, rewards=[1.0, 0.5, 0.0], **columns)
    large = tokens(same, rewards=[1e6, -3.0, -3.1], **columns)
    algorithm = algorithms.trpa(**FREE)
    near(gradient_of(algorithm, small), gradient_of(algorithm, large), atol=0.0)
