import math

import torch
from torch import Tensor

from jumar import algorithms
from jumar.types import RolloutBatch

from .hand import advantages, gradient_of, near, rollout, tokens


def two_right_two_wrong() -> RolloutBatch:
    return rollout(
        [1.0, 1.0, 0.0, 0.0],
        old_logprobs=[[-1.0], [-1.0 - math.log(3)], [-1.0], [-1.0]],
        teacher_logprobs=[[-9.0], [-9.0], [-2.0], [-2.0 - math.log(3)]],
    )


def weight(**settings: float) -> Tensor:
    batch = two_right_two_wrong()
    lead = (batch.teacher_logprobs - batch.old_logprobs)[:, 0]
    a = advantages(algorithms.scope(**settings), batch)[:, 0]
    return torch.where(batch.correct, a, a / lead)


def test_by_hand() -> None:
    # right: perplexities e and 3e, so 1/4 and 3/4, times 2
    # wrong: the teacher's are e^2 and 3e^2, so 3/4 and 1/4, times 2
    near(weight(), [0.5, 1.5, 1.5, 0.5])
    a = advantages(algorithms.scope(), two_right_two_wrong())[:, 0]
    near(a, [0.5, 1.5, 1.5 * -1.0, 0.5 * (-1.0 - math.log(3))])


def test_a_sign_turned_around_turns_its_weights_around() -> None:
    """The student's is in the released runs, both are in their function's own defaults."""
    near(weight(student_sign=-1.0), [1.5, 0.5, 1.5, 0.5])
    near(weight(student_sign=-1.0, teacher_sign=1.0), [1.5, 0.5, 0.5, 1.5])


def test_weights_have_mean_one_on_each_path_of_each_group_and_tau_flattens_them() -> None:
    little, much = 2 / (1 + 3**0.5), 2 * 3**0.5 / (1 + 3**0.5)
    near(weight(tau=2.0), [little, much, much, little])
    near(weight(tau=1e9), [1.0] * 4, atol=1e-6)
    near(weight(student_sign=0.0, teacher_sign=0.0), [1.0] * 4)


def test_one_alone_on_its_path_has_weight_one() -> None:
    batch = rollout([1.0, 0.0], old_logprobs=[[-5.0], [-1.0]], teacher_logprobs=[[-1.0], [-3.0]])
    near(advantages(algorithms.scope(), batch)[:, 0], [1.0, -2.0])


def test_the_verdict_routes_and_a_right_response_does_not_hear_the_teacher() -> None:
    batch = two_right_two_wrong()
    other = batch.with_columns(teacher_logprobs=batch.teacher_logprobs - 4.0)
    one, moved = (advantages(algorithms.scope(), b)[:, 0] for b in (batch, other))
    assert torch.equal(one[:2], moved[:2])
    assert (moved[2:] < one[2:]).all()


def test_on_policy_right_responses_are_trained_by_weighted_likelihood() -> None:
    same = [[-1.0], [-2.0]]
    batch = tokens(same, old_logprobs=same, advantages=[0.5, 1.5])
    near(gradient_of(algorithms.scope(), batch)[:, 0], [-0.25, -0.75])
