import math

import torch

from jumar import algorithms
from jumar.ops.logprobs import Head, divergence

from .arms import TEACHER, THETA, exact_gradient, expected_gradient, reverse_kl
from .hand import advantages, gradient_of, loss_of, near, rollout, tokens

TEACHERS, SAMPLERS = [[-0.5, -2.0], [-1.0]], [[-1.0, -1.0], [-1.5]]


def test_the_advantage_of_a_token_is_its_teachers_lead_by_hand() -> None:
    rows = rollout([1.0, 0.0], lengths=[2, 1], teacher_logprobs=TEACHERS, rollout_logprobs=SAMPLERS)
    near(advantages(algorithms.opd_sampled(), rows), [[0.5, -1.0], [0.5, 0.0]])
    near(advantages(algorithms.opd_sampled(coef=2.0), rows), [[1.0, -2.0], [1.0, 0.0]])


def test_loss_and_gradient_by_hand() -> None:
    half = math.log(0.5)
    batch = tokens(
        [[-1.0, -1.0 + half], [-1.5 - half]],
        rollout_logprobs=SAMPLERS,
        advantages=torch.tensor([[0.5, -1.0], [0.5, 0.0]], dtype=torch.float64),
    )
    # ratios 1, 0.5 and 2: -0.5, 0.5, -1; over three tokens; each slope is its loss
    near(loss_of(algorithms.opd_sampled(), batch), -1 / 3)
    near(gradient_of(algorithms.opd_sampled(), batch), [[-1 / 6, 1 / 6], [-1 / 3, 0.0]])


def test_no_verdict_is_read() -> None:
    columns = {"teacher_logprobs": TEACHERS, "rollout_logprobs": SAMPLERS}
    right = rollout([1.0, 0.0], lengths=[2, 1], **columns)
    wrong = rollout([0.0, 7.0], lengths=[2, 1], **columns)
    algorithm = algorithms.opd_sampled()
    assert torch.equal(advantages(algorithm, right), advantages(algorithm, wrong))


def test_in_expectation_it_is_the_divergence_over_the_whole_vocabulary() -> None:
    """The sampled form needs one number per token from the teacher and has the same update."""
    lead = (TEACHER - THETA.log_softmax(0))[:, None]
    sampled = expected_gradient(algorithms.opd_sampled(), THETA, advantages=lead)
    leaf, head = THETA.clone().requires_grad_(), Head(torch.eye(4, dtype=torch.float64))
    column = divergence(leaf[None], head, TEACHER[None], head, kind="reverse_kl")
    full = loss_of(algorithms.opd(), tokens([[-1.0]], reverse_kl_teacher=column[None]))
    near(sampled, torch.autograd.grad(full, leaf)[0], atol=1e-12)
    near(sampled, exact_gradient(reverse_kl, THETA), atol=1e-12)


def test_at_the_teacher_nothing_is_left_to_learn() -> None:
    same = [[-1.0, -2.0], [-0.5]]
    rows = rollout([1.0, 0.0], lengths=[2, 1], teacher_logprobs=same, rollout_logprobs=same)
    assert not advantages(algorithms.opd_sampled(), rows).any()
