import math

import pytest
from torch import Tensor

from jumar import algorithms

from .hand import near, rollout


def rewards(calls: list[float], verdicts: list[float], groups: list[int] | None = None) -> Tensor:
    return algorithms.otc_po().reward(rollout(verdicts, groups=groups, tool_calls=calls))


def test_by_hand() -> None:
    # n = 2. m = 2: f = 2, sin(pi / 2); m = 4: f = 16 / 6, sin(2 pi / 3)
    near(rewards([2, 4, 1], [1.0, 1.0, 0.0]), [1.0, math.sin(2 * math.pi / 3), 0.0])


def test_where_no_tool_is_needed_each_call_costs() -> None:
    # n = 0, c = 1: cos(0) = 1, cos(pi/3) = 0.5, cos(3 pi / 7)
    near(rewards([0, 1, 3], [1.0] * 3), [1.0, 0.5, math.cos(3 * math.pi / 7)])


def test_twice_as_many_calls_as_needed_leave_sin_of_sixty_degrees() -> None:
    for n in (1, 2, 5):
        near(rewards([n, 2 * n], [1.0, 1.0])[1], math.sqrt(3) / 2)


def test_only_right_responses_say_how_many_calls_are_needed_each_group_for_itself() -> None:
    near(rewards([0, 3, 3, 1], [0.0, 1.0, 1.0, 0.0], [0, 0, 1, 1]), [0.0, 1.0, 1.0, 0.0])
    near(rewards([0, 2], [0.0, 0.0]), [0.0, 0.0])


@pytest.mark.parametrize("n", [1, 3])
def test_the_fewest_sufficient_calls_are_best_and_every_further_one_is_worse(n: int) -> None:
    found = rewards(list(range(n, n + 6)), [1.0] * 6)
    near(found[0], 1.0)
    assert (found[1:] < found[:-1]).all()


def test_a_wrong_answer_gains_nothing_by_calling_nothing() -> None:
    """Why the factor multiplies: with a sum, idleness would be paid."""
    near(rewards([0, 9], [0.0, 1.0]), [0.0, 1.0])
