import pytest
import torch

from jumar import algorithms
from jumar.algorithms.open_rs import cosine_reward
from jumar.types import RolloutBatch

from .hand import advantages, near, rollout

SETTINGS = {
    "limit": 8, "right_short": 1.0, "right_long": 0.5, "wrong_short": -1.0, "wrong_long": -0.5,
}  # fmt: skip


def rewards(right: list[bool], lengths: list[int]) -> list[float]:
    batch = rollout([float(r) for r in right], lengths=lengths)
    return cosine_reward(batch, **SETTINGS).tolist()


def test_by_hand() -> None:
    # at half of the limit the cosine is 0, at a quarter 0.707107: (1 + 0.707107) / 2 = 0.853553
    near(rewards([True, False, True, False], [4, 4, 8, 8]), [0.75, -0.75, 0.5, -0.5])
    near(rewards([True, False], [2, 2]), [0.5 + 0.5 * 0.853553, -0.5 - 0.5 * 0.853553])


def test_shorter_is_better_where_right_and_worse_where_wrong() -> None:
    lengths = list(range(1, 9))
    right, wrong = rewards([True] * 8, lengths), rewards([False] * 8, lengths)
    assert right == sorted(right, reverse=True)
    assert wrong == sorted(wrong)
    assert min(right) > max(wrong)


def test_beyond_the_limit_the_reward_stays_at_its_end() -> None:
    assert rewards([True, False], [16, 12]) == pytest.approx([0.5, -0.5])


def test_a_group_that_is_all_right_learns_to_be_short() -> None:
    algorithm = algorithms.open_rs(limit=8)
    batch: RolloutBatch = rollout([1.0, 1.0, 1.0], lengths=[2, 4, 6])
    a = advantages(algorithm, batch)[:, 0]
    assert a[0] > a[1] > a[2]
    assert (advantages(algorithms.grpo(), batch) == 0).all()


def test_without_the_length_it_is_grpo() -> None:
    algorithm = algorithms.open_rs(right_long=1.0, wrong_long=-1.0, eps=0.0)
    batch = rollout([1.0, 0.0, 0.0], lengths=[2, 4, 6])
    torch.testing.assert_close(
        advantages(algorithm, batch), advantages(algorithms.grpo(eps=0.0), batch)
    )
