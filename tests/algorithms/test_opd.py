import torch
from torch import Tensor

from jumar import algorithms
from jumar.ops.logprobs import Head, divergence

from .hand import loss_of, near, tokens

TEACHER = torch.tensor([[0.6, 0.3, 0.1], [0.2, 0.2, 0.6]], dtype=torch.float64)
STUDENT = torch.tensor([[0.5, 0.3, 0.2], [0.2, 0.2, 0.6]], dtype=torch.float64)


def loss_and_gradient(student: Tensor) -> tuple[Tensor, Tensor]:
    """A response of two tokens; the engine's part is played with an identity head."""
    logits = student.log().requires_grad_()
    head = Head(torch.eye(3, dtype=torch.float64))
    column = divergence(logits, head, TEACHER.log(), head, kind="reverse_kl")
    loss = loss_of(algorithms.opd(), tokens([[-1.0, -1.0]], reverse_kl_teacher=column[None]))
    (gradient,) = torch.autograd.grad(loss, logits)
    return loss.detach(), gradient


def test_by_hand() -> None:
    loss, gradient = loss_and_gradient(STUDENT)
    # 0.5 log(0.5 / 0.6) + 0.3 log 1 + 0.2 log 2 = -0.091161 + 0.138629 = 0.047468; two tokens
    near(loss, 0.023734)
    # p (log(p / q) - KL) / 2: 0.25 * (-0.182322 - 0.047468), 0.15 * (-0.047468),
    # 0.1 * (0.693147 - 0.047468); the second token is at its teacher
    near(gradient, [[-0.057447, -0.007120, 0.064568], [0, 0, 0]])


def test_at_the_teacher_loss_and_gradient_are_0() -> None:
    loss, gradient = loss_and_gradient(TEACHER)
    near(loss, 0.0, atol=1e-12)
    near(gradient, torch.zeros(2, 3), atol=1e-12)


def test_the_request_names_the_teacher_and_the_top_k() -> None:
    (full,) = algorithms.opd().divergences
    assert (full.kind, full.target, full.top_k) == ("reverse_kl", "teacher", None)
    (some,) = algorithms.opd(top_k=64).divergences
    assert some.column == "reverse_kl_teacher_top64"
