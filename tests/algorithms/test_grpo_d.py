import pytest

from jumar import algorithms
from jumar.schedules import value_at


def coefficient(step: int, **settings: float) -> float:
    (kl,) = algorithms.grpo_d(**settings).penalties
    return value_at(kl.coef, step=step, stage_step=0)


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        # the middle of 0.04 and 0.1 is 0.07; down over 30 of 100 steps, up over the other 70
        (0, 0.07),
        (15, 0.055),
        (30, 0.04),
        (65, 0.07),
        (100, 0.1),
        (1000, 0.1),
    ],
)
def test_the_coefficient_by_hand(step: int, expected: float) -> None:
    assert coefficient(step, steps=100) == pytest.approx(expected)


def test_it_falls_and_then_rises() -> None:
    values = [coefficient(step, steps=100) for step in range(100)]
    lowest = values.index(min(values))
    assert lowest == 30
    assert values[: lowest + 1] == sorted(values[: lowest + 1], reverse=True)
    assert values[lowest:] == sorted(values[lowest:])


def test_with_both_ends_alike_it_is_grpo_with_a_constant_coefficient() -> None:
    one, other = algorithms.grpo_d(kl_min=0.04, kl_max=0.04), algorithms.grpo()
    assert all(coefficient(step, kl_min=0.04, kl_max=0.04) == 0.04 for step in (0, 60, 500))
    assert (one.advantage, one.surrogate, one.aggregate) == (
        other.advantage,
        other.surrogate,
        other.aggregate,
    )
