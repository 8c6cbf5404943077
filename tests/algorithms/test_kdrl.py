from dataclasses import replace

import pytest

from jumar import algorithms
from jumar.algorithm import Penalty, policy_loss
from jumar.penalties.kl import sampled_kl
from jumar.pieces import piece
from jumar.types import LossScale, TokenBatch

from .arms import TEACHER, THETA, exact_gradient, expected_gradient, reverse_kl
from .hand import gradient_of, loss_of, near, tokens

CONSTANT = algorithms.kdrl(kl_coef=0.4, kl_coef_end=0.4)


def batch() -> TokenBatch:
    """A right response of one token and a wrong one of two; u = 0.5, -1 and 0."""
    policy = [[-1.0], [-2.0, -1.0]]
    return tokens(
        policy,
        old_logprobs=policy,
        teacher_logprobs=[[-1.5], [-1.0, -1.0]],
        advantages=[1.0, -1.0],
        correct=[True, False],
    )


def test_loss_and_gradient_by_hand() -> None:
    # -1 + 0.4 * 0.125 = -0.95; 1 + 0.4 * 0.5 = 1.2; 1; over three tokens
    near(loss_of(CONSTANT, batch()), 1.25 / 3)
    # slopes -1 + 0.4 * 0.5, 1 - 0.4 and 1, over three tokens
    near(gradient_of(CONSTANT, batch()), [[-0.8 / 3, 0.0], [0.2, 1 / 3]])


def test_right_responses_may_be_left_to_the_reward_alone() -> None:
    masked = algorithms.kdrl(kl_coef=0.4, kl_coef_end=0.4, skip_correct=True)
    # without the 0.05 of the right response
    near(loss_of(masked, batch()), 1.2 / 3)
    near(gradient_of(masked, batch()), [[-1 / 3, 0.0], [0.2, 1 / 3]])


@pytest.mark.parametrize(
    ("step", "coef"), [(0, 5e-3), (1, 4.95e-3), (40, 3e-3), (80, 1e-3), (1000, 1e-3)]
)
def test_the_pull_becomes_weaker_by_5e_5_a_step_down_to_1e_3(step: int, coef: float) -> None:
    rows = batch()
    scale = replace(LossScale.of(rows), step=step)
    plain = algorithms.grpo(kl_coef=0.0)
    plain = replace(plain, aggregate=CONSTANT.aggregate)
    pull = policy_loss(algorithms.kdrl(), rows, scale).loss - policy_loss(plain, rows, scale).loss
    # the mean of 0.125, 0.5 and 0
    near(pull, coef * 0.625 / 3, atol=1e-12)


def test_on_policy_it_descends_the_divergence_from_the_teacher_and_climbs_the_reward() -> None:
    """One gradient for both: coefficient times grad KL(pi || teacher), minus grad E[A]."""
    verdicts = [1.5, -0.5, -0.5, -0.5]
    reward = exact_gradient(lambda lp: sum(lp[i].exp() * a for i, a in enumerate(verdicts)), THETA)
    near(
        expected_gradient(CONSTANT, THETA, advantages=verdicts, correct=[True] * 4),
        0.4 * exact_gradient(reverse_kl, THETA) - reward,
        atol=1e-12,
    )


@pytest.mark.parametrize("teacher", [TEACHER, TEACHER.flip(0)])
def test_with_k1_as_the_loss_no_teacher_would_teach_anything(teacher: object) -> None:
    kl = Penalty(name="kl", coef=0.4, piece=piece(sampled_kl, kind="k1", other="teacher_logprobs"))
    trap = replace(CONSTANT, penalties=(kl,))
    columns = {"teacher": teacher, "correct": [True] * 4}
    near(expected_gradient(trap, THETA, **columns), [0.0] * 4, atol=1e-12)
    assert expected_gradient(CONSTANT, THETA, **columns).abs().max() > 0.03
