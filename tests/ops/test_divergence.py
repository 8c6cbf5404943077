"""The trap of the KL estimators, by enumeration of a softmax over four arms."""

import pytest
import torch
from torch import Tensor

from jumar.ops.divergence import Divergence, KLEstimator, force_reversal, kl_estimate

THETA = torch.tensor([0.3, -0.8, 1.1, 0.0], dtype=torch.float64)
OTHER = torch.tensor([0.1, 0.4, 0.2, 0.3], dtype=torch.float64).log()


def expected_gradient(kind: KLEstimator) -> Tensor:
    """Sum over arms of pi(arm) times the gradient of the loss on a sample of that arm."""
    total = torch.zeros_like(THETA)
    for arm in range(4):
        theta = THETA.clone().requires_grad_()
        logprobs = theta.log_softmax(0)
        kl_estimate(logprobs[arm], OTHER[arm], kind=kind).backward()
        assert theta.grad is not None
        total += logprobs[arm].detach().exp() * theta.grad
    return total


def exact_gradient(forward: bool) -> Tensor:
    theta = THETA.clone().requires_grad_()
    log_pi = theta.log_softmax(0)
    p, q = (OTHER, log_pi) if forward else (log_pi, OTHER)
    (p.exp() * (p - q)).sum().backward()
    assert theta.grad is not None
    return theta.grad


def test_values_by_hand() -> None:
    u = torch.tensor([0.0, 0.5, -1.0])
    zero = torch.zeros(3)
    assert kl_estimate(u, zero, kind="k1").tolist() == [0.0, 0.5, -1.0]
    assert kl_estimate(u, zero, kind="k2").tolist() == [0.0, 0.125, 0.5]
    # exp(-0.5) + 0.5 - 1 = 0.606531 - 0.5; exp(1) - 1 - 1 = 2.718282 - 2
    torch.testing.assert_close(
        kl_estimate(u, zero, kind="k3"), torch.tensor([0.0, 0.106531, 0.718282])
    )


def test_k1_and_k3_average_to_the_divergence_and_k2_nearly() -> None:
    log_pi = THETA.log_softmax(0)
    kl = (log_pi.exp() * (log_pi - OTHER)).sum()
    for kind in ("k1", "k3"):
        mean = (log_pi.exp() * kl_estimate(log_pi, OTHER, kind=kind)).sum()
        torch.testing.assert_close(mean, kl)
    close = log_pi + 0.01 * torch.tensor([1.0, -1.0, 0.5, 0.0], dtype=torch.float64)
    close = close - close.logsumexp(0)
    kl = (log_pi.exp() * (log_pi - close)).sum()
    assert abs((log_pi.exp() * kl_estimate(log_pi, close, kind="k2")).sum() / kl - 1) < 0.02


def test_k1_as_a_loss_regularises_nothing() -> None:
    torch.testing.assert_close(
        expected_gradient("k1"), torch.zeros(4, dtype=torch.float64), rtol=0, atol=1e-14
    )


def test_k2_as_a_loss_has_the_gradient_of_the_reverse_divergence() -> None:
    torch.testing.assert_close(expected_gradient("k2"), exact_gradient(forward=False))


def test_k3_as_a_loss_has_the_gradient_of_the_forward_divergence() -> None:
    torch.testing.assert_close(expected_gradient("k3"), exact_gradient(forward=True))


def test_k1_is_right_inside_the_advantage() -> None:
    """There it weighs the score function: E[k1 grad log pi] = grad KL(pi || other)."""
    theta = THETA.clone().requires_grad_()
    logprobs = theta.log_softmax(0)
    k1 = kl_estimate(logprobs, OTHER, kind="k1").detach()
    (gradient,) = torch.autograd.grad((logprobs.exp().detach() * k1 * logprobs).sum(), theta)
    torch.testing.assert_close(gradient, exact_gradient(forward=False))


def test_force_reversal_by_hand() -> None:
    # beta 0.5: a token turns where sign(A) * deviation exceeds 2 |A|
    cases = [
        (1.0, 1.9, False), (1.0, 2.1, True), (1.0, -5.0, False),
        (-1.0, -1.9, False), (-1.0, -2.1, True), (-1.0, 5.0, False),
        (0.1, 0.3, True), (4.0, 7.9, False), (4.0, 8.1, True), (0.0, 9.0, False),
    ]  # fmt: skip
    advantages, deviation, turned = zip(*cases, strict=True)
    found = force_reversal(torch.tensor([advantages]), torch.tensor([deviation]), 0.5)
    assert found.dtype == torch.bool
    assert found.tolist() == [list(turned)]
    assert not force_reversal(torch.tensor([advantages]), torch.tensor([deviation]), 0.0).any()


@pytest.mark.parametrize("advantage", [1.0, -0.3])
def test_force_reversal_is_where_the_slope_of_the_penalised_update_has_the_other_sign(
    advantage: float,
) -> None:
    deviation = torch.linspace(-9, 9, 37, dtype=torch.float64).requires_grad_()
    update = advantage * deviation - 0.4 * kl_estimate(deviation, torch.tensor(0.0), kind="k2")
    (slope,) = torch.autograd.grad(update.sum(), deviation)
    found = force_reversal(torch.tensor(advantage).double(), deviation.detach(), 0.4)
    assert torch.equal(found, slope * advantage < 0)
    assert found.any()


@pytest.mark.parametrize(
    ("divergence", "column"),
    [
        (Divergence(kind="reverse_kl", target="teacher"), "reverse_kl_teacher"),
        (Divergence(kind="jsd", target="reference", beta=0.1), "jsd0.1_reference"),
        (Divergence(kind="forward_kl", target="teacher", top_k=8), "forward_kl_teacher_top8"),
        (Divergence(kind="entropy"), "entropy"),
    ],
)
def test_a_request_names_the_column_of_its_answer(divergence: Divergence, column: str) -> None:
    assert divergence.column == column
    assert str(divergence) == column
    assert f"{divergence}" == column
