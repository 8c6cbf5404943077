import math

import pytest
import torch
from torch import Tensor

from jumar import algorithms
from jumar.algorithm import Algorithm
from jumar.algorithms.orpo_occupancy import chi_squared_terms
from jumar.types import TokenBatch

from .arms import TEACHER, THETA, exact_gradient
from .hand import gradient_of, loss_of, near, tokens


def penalty_alone(ref: list[list[float]], now: list[list[float]]) -> TokenBatch:
    """A batch in which PPO itself has nothing to say."""
    zeros = [[0.0] * len(row) for row in now]
    return tokens(
        now, ref_logprobs=ref, old_logprobs=now, advantages=[0.0] * len(now),
        values=zeros, old_values=zeros, returns=zeros,
    )  # fmt: skip


def unit(coef: float = 1.0) -> Algorithm:
    return algorithms.orpo_occupancy(chi2_coef=coef)


def test_by_hand() -> None:
    log2 = math.log(2)
    batch = penalty_alone([[-1.0, -1.0], [-1.0]], [[-1.0 + log2, -1.0 + log2], [-1.0 - log2]])
    # exp(l) = 4 and 1/2: 4 + 1/4 - 2 = 2.25, 1/2 + 2 - 2 = 0.5; the mean is 1.375
    near(chi_squared_terms(batch), [2.25, 0.5])
    near(loss_of(unit(0.1), batch), 0.1 * math.sqrt(1.375))
    # (e^l - e^-l) / (2 sqrt(1.375)) over two responses, on each of its tokens
    root = math.sqrt(1.375)
    near(gradient_of(unit(), batch), [[3.75 / 4 / root] * 2, [-1.5 / 4 / root, 0.0]])


def test_beyond_ten_nats_it_grows_in_a_line_and_stays_finite() -> None:
    batch = penalty_alone([[-1.0], [-1.0], [-1e4]], [[11.0], [-13.0], [-1.0]])
    e10 = math.exp(10)
    twelve = e10 * 3 + math.exp(-12) - 2
    near(chi_squared_terms(batch), [twelve, twelve, e10 * (1 + 9999 - 10) - 2], atol=1e-6)


def test_below_its_floor_the_penalty_is_a_constant() -> None:
    batch = penalty_alone([[-1.0]], [[-1.005]])
    near(loss_of(unit(), batch), 0.01, atol=1e-12)
    assert gradient_of(unit(), batch) == 0


def test_the_released_codes_loss_on_the_same_numbers() -> None:
    """Its arithmetic: two clipped exponentials, continued in straight lines, and one root."""
    g = torch.Generator().manual_seed(0)
    now, ref = (-2 * torch.rand(6, 3, generator=g, dtype=torch.float64) for _ in range(2))
    now[0], ref[1] = now[0] - 6, ref[1] - 7
    leaf = now.clone().requires_grad_()
    ell = (leaf - ref).sum(dim=1)
    cut = 10.0

    def continued(x: Tensor) -> Tensor:
        line = math.exp(cut) * (1 + x - cut) - 1
        return torch.where(x >= cut, line, torch.expm1(x.clamp(max=cut)))

    theirs = (continued(ell) + continued(-ell)).mean().clip(min=1e-4).sqrt()
    (expected,) = torch.autograd.grad(theirs, leaf)
    batch = penalty_alone(ref.tolist(), now.tolist())
    near(loss_of(unit(), batch), theirs.detach(), atol=1e-10)
    near(gradient_of(unit(), batch), expected, atol=1e-10)


def test_on_samples_of_the_policy_it_is_half_chi_squared_and_the_forward_kl() -> None:
    def divergence(logprobs: Tensor) -> Tensor:
        chi2 = (2 * logprobs - TEACHER).exp().sum() - 1
        return chi2 / 2 + (TEACHER.exp() * (TEACHER - logprobs)).sum()

    leaf = THETA.clone().requires_grad_()
    logprobs = leaf.log_softmax(0)
    terms = chi_squared_terms(tokens(logprobs[:, None], ref_logprobs=TEACHER[:, None]))
    (found,) = torch.autograd.grad((logprobs.detach().exp() * terms).sum(), leaf)
    near(found, exact_gradient(divergence, THETA), atol=1e-12)


@pytest.mark.parametrize("lead", [2.0, 4.0, 8.0])
def test_what_the_reference_would_hardly_say_is_held_back_harder_than_by_a_kl(lead: float) -> None:
    """One response that hacks the proxy among many that do not: its share of all the pull."""
    rows = [[-1.0]] * 8
    ref = [[-1.0 - lead], *([[-1.2]] * 7)]
    pull = gradient_of(unit(), penalty_alone(ref, rows))[:, 0]
    batch = tokens(rows, old_logprobs=rows, ref_logprobs=ref, advantages=[0.0] * 8)
    pull_kl = gradient_of(algorithms.grpo(kl_coef=1.0), batch)[:, 0]
    assert pull[0] / pull.sum() > pull_kl[0] / pull_kl.sum()
