import pytest
import torch

from jumar import algorithms
from jumar.algorithms.train_long_think_short import budget_reward, token_budget

from .hand import advantages, near, rollout

SETTINGS = {
    "budget_start": 8.0, "decay": 0.5, "every": 10, "correct_coef": 0.6, "length_coef": 0.3,
}  # fmt: skip


def rewards(right: list[float], lengths: list[int], step: int = 0) -> list[float]:
    return budget_reward(rollout(right, lengths=lengths, step=step), **SETTINGS).tolist()


@pytest.mark.parametrize(
    ("step", "tokens"), [(0, 256), (99, 256), (100, 179.2), (300, 87.808), (5000, 1)]
)
def test_the_budget_shrinks_from_256_to_their_87(step: int, tokens: float) -> None:
    assert token_budget(step, start=256, decay=0.7, every=100) == pytest.approx(tokens)


def test_by_hand() -> None:
    # a budget of 8: 4 / 8 = 0.5, 8 is met, 12 is over by half, 16 is twice of it, 20 is beyond
    near(rewards([1.0] * 5, [4, 8, 12, 16, 20]), [0.75, 0.9, 0.75, 0.6, 0.6])
    near(rewards([0.0, 0.0], [8, 20]), [0.3, 0.0])


def test_what_met_the_budget_early_is_too_long_later() -> None:
    assert rewards([1.0], [8])[0] == pytest.approx(0.9)
    assert rewards([1.0], [8], step=10)[0] == pytest.approx(0.6)
    assert rewards([1.0], [4], step=10)[0] == pytest.approx(0.9)


def test_a_right_answer_of_any_length_is_worth_more_than_a_wrong_one_of_the_best() -> None:
    assert min(rewards([1.0] * 20, list(range(1, 21)))) > max(rewards([0.0] * 20, [*range(1, 21)]))


def test_without_the_length_it_is_grpo() -> None:
    algorithm = algorithms.train_long_think_short(length_coef=0.0, eps=0.0)
    batch = rollout([1.0, 0.0, 0.0], lengths=[2, 4, 6])
    torch.testing.assert_close(
        advantages(algorithm, batch), advantages(algorithms.grpo(eps=0.0), batch)
    )
