import pytest
import torch
from torch import Tensor

from jumar import algorithms
from jumar.algorithm import policy_loss
from jumar.algorithms.dro import prompt_value
from jumar.types import LossScale, TokenBatch

from .hand import gradient_of, loss_of, near, tokens

DOUBLE = torch.float64
REFERENCE = torch.tensor([0.1, 0.4, 0.2, 0.3], dtype=DOUBLE)
REWARD = torch.tensor([1.0, 0.0, 0.3, -0.5], dtype=DOUBLE)


def test_by_hand() -> None:
    values = torch.tensor([[0.3, 0.9]], dtype=DOUBLE, requires_grad=True)
    batch = tokens(
        [[-1.0, -1.0]], ref_logprobs=[[-1.3, -1.1]], values=values, rewards=[1.0],
    )  # fmt: skip
    algorithm = algorithms.dro(tau=0.5)
    # x = 1 - 0.3 - 0.5 * 0.4 = 0.5: 0.25 / (2 * 0.5) for the policy and 0.25 / 2 for the critic
    near(loss_of(algorithm, batch), 0.375)
    # -x for each token of the policy, and for the critic at the first token alone
    near(gradient_of(algorithm, batch), [[-0.5, -0.5]])
    output = policy_loss(algorithm, batch, LossScale.of(batch))
    near(torch.autograd.grad(output.loss, values)[0], [[-0.5, 0.0]])


def test_the_value_is_that_of_the_prompt_wherever_the_response_begins() -> None:
    batch = tokens([[None, -1.0, -1.0], [-1.0, None, None]], values=[[None, 0.3, 0.9], [0.7]])
    near(prompt_value(batch), [0.3, 0.7])


def arms(logprobs: Tensor, value: Tensor, rows: list[int]) -> TokenBatch:
    leaf = value.expand(len(rows))[:, None].clone().requires_grad_()
    return tokens(
        logprobs[rows, None], ref_logprobs=REFERENCE.log()[rows, None], values=leaf,
        rewards=REWARD[rows],
    )  # fmt: skip


@pytest.mark.parametrize("tau", [0.1, 1.0, 5.0])
def test_the_optimum_is_the_regularised_one_whoever_sampled(tau: float) -> None:
    """The paper's theorem 1: pi_ref e^{r / tau} / Z and tau log Z solve it on any support."""
    partition = (REFERENCE * (REWARD / tau).exp()).sum()
    optimal = (REFERENCE * (REWARD / tau).exp() / partition).log()
    algorithm = algorithms.dro(tau=tau)
    for rows in ([0, 1, 2, 3], [0, 0, 3], [2]):
        batch = arms(optimal, tau * partition.log(), rows)
        near(loss_of(algorithm, batch), 0.0, atol=1e-12)
        near(gradient_of(algorithm, batch), torch.zeros(len(rows), 1), atol=1e-12)
    near(tau * partition.log(), tau * (REWARD / tau + REFERENCE.log()).logsumexp(0), atol=1e-12)


def test_off_policy_the_value_is_more_than_a_baseline() -> None:
    """On-policy any constant leaves the expected gradient; under another sampler it does not."""
    theta = torch.tensor([0.3, -0.2, 0.8, 0.1], dtype=DOUBLE, requires_grad=True)

    def expected(sampler: Tensor, value: float) -> Tensor:
        batch = arms(theta.log_softmax(0), torch.tensor(value, dtype=DOUBLE), [0, 1, 2, 3])
        loss = (sampler * algorithms.dro().surrogate(batch)).sum()
        return torch.autograd.grad(loss, theta)[0]

    policy = theta.detach().softmax(0)
    near(expected(policy, 0.0), expected(policy, 5.0), atol=1e-12)
    assert (expected(REFERENCE, 0.0) - expected(REFERENCE, 5.0)).abs().max() > 0.1


def test_on_policy_it_is_the_regularised_policy_gradient() -> None:
    """Of E[r] - tau KL(pi || pi_ref), downhill: the gradient over tau has the paper's scale."""
    tau = 0.7
    theta = torch.tensor([0.3, -0.2, 0.8, 0.1], dtype=DOUBLE, requires_grad=True)
    logprobs = theta.log_softmax(0)
    objective = (logprobs.exp() * (REWARD - tau * (logprobs - REFERENCE.log()))).sum()
    (uphill,) = torch.autograd.grad(objective, theta)
    batch = arms(theta.log_softmax(0), torch.tensor(0.2, dtype=DOUBLE), [0, 1, 2, 3])
    loss = (theta.detach().softmax(0) * algorithms.dro(tau=tau).surrogate(batch)).sum()
    near(torch.autograd.grad(loss, theta)[0], -uphill, atol=1e-12)
