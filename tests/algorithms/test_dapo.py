import math

import pytest
import torch

from jumar import algorithms
from jumar.algorithms.dapo import overlong_reward
from jumar.filters import mixed_outcomes

from .hand import advantages, gradient_of, loss_of, near, rollout, tokens


def one(ratio: float, advantage: float, **settings: float) -> tuple[float, float]:
    """Loss and gradient of a single token."""
    batch = tokens([[-1.0]], old_logprobs=[[-1.0 - math.log(ratio)]], advantages=[advantage])
    algorithm = algorithms.dapo(**settings)
    return float(loss_of(algorithm, batch).detach()), float(gradient_of(algorithm, batch))


@pytest.mark.parametrize(
    ("ratio", "advantage", "loss", "gradient"),
    [
        (1.25, 1.0, -1.25, -1.25),  # above GRPO's 1.2, within 1.28: still learns
        (1.3, 1.0, -1.28, 0.0),
        (0.7, 1.0, -0.7, -0.7),  # behind: never clipped
        (0.7, -1.0, 0.8, 0.0),
        (1.3, -1.0, 1.3, 1.3),
        (9.0, -1.0, 9.0, 9.0),
        (20.0, -1.0, 10.0, 0.0),  # the dual clip: a ratio that exploded
        (20.0, 1.0, -1.28, 0.0),
    ],
)
def test_clip_higher_and_the_dual_clip_by_hand(
    ratio: float, advantage: float, loss: float, gradient: float
) -> None:
    assert one(ratio, advantage) == pytest.approx((loss, gradient))


def test_without_the_dual_clip_the_loss_of_a_bad_token_is_unbounded() -> None:
    assert one(20.0, -1.0, dual_clip=None) == pytest.approx((20.0, 20.0))


def test_one_mean_over_all_tokens() -> None:
    same = [[-1.0], [-1.0, -1.0, -1.0]]
    batch = tokens(same, old_logprobs=same, advantages=[1.0, -2.0])
    # the mean of -1, 2, 2, 2
    near(loss_of(algorithms.dapo(), batch), 1.25)
    near(gradient_of(algorithms.dapo(), batch), [[-0.25, 0, 0], [0.5, 0.5, 0.5]])


def test_only_groups_with_right_and_wrong_responses_are_kept() -> None:
    rows = rollout(
        [1.0] * 8,
        groups=[0, 1, 2, 0, 1, 2, 9, 9],
        correct=[True, False, True, True, False, False, True, True],
    )
    assert mixed_outcomes(rows).tolist() == [False, False, True, False, False, True, False, False]


def test_a_group_of_one_is_kept_since_it_cannot_be_mixed() -> None:
    assert mixed_outcomes(rollout([1.0, 0.0, 0.0], groups=[0, 1, 1])).tolist() == [
        True,
        False,
        False,
    ]


def test_the_filter_looks_at_the_verdict_and_not_at_the_reward() -> None:
    """Partial credit tells responses apart that are all wrong."""
    rows = rollout([0.05, 0.0, 0.3], correct=[False, False, False])
    assert not mixed_outcomes(rows).any()


def test_the_overlong_penalty_by_hand() -> None:
    lengths = [5, 6, 7, 8, 10, 12]
    rows = rollout([1.0] * 6, lengths=lengths)
    # the soft zone begins at 10 - 4 = 6 tokens: 0, 0, 1/4, 2/4, 4/4, and no more than 1, halved
    shaped = overlong_reward(rows, limit=10, cache=4, coef=0.5)
    near(shaped, [1.0, 1.0, 0.875, 0.75, 0.5, 0.5])


def test_half_the_penalty_on_half_the_verdict_gives_the_papers_advantages() -> None:
    """The paper: verdict +1 or -1 and a penalty of up to 1. Ours: 1 or 0, and up to 0.5."""
    lengths = [5, 9, 8, 6]
    verdict = torch.tensor([1.0, 1.0, -1.0, -1.0])
    paper = algorithms.dapo(overlong_limit=10, overlong_cache=4, overlong_coef=1.0, eps=0.0)
    ours = algorithms.dapo(overlong_limit=10, overlong_cache=4, overlong_coef=0.5, eps=0.0)
    torch.testing.assert_close(
        advantages(ours, rollout(((verdict + 1) / 2).tolist(), lengths=lengths)),
        advantages(paper, rollout(verdict.tolist(), lengths=lengths)),
    )
