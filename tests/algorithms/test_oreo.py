import pytest
import torch

from jumar import algorithms
from jumar.algorithm import policy_loss
from jumar.types import LossScale, TokenBatch

from .hand import gradient_of, loss_of, near, tokens
from .soft_tree import DOUBLE, all_responses, drawn, optimum

PLAIN = algorithms.oreo(kl_coef=0.0)


def pair(**changed: object) -> TokenBatch:
    """Log-ratios 0.5 and -0.5, a reward of 1 for the whole response."""
    columns = {
        "ref_logprobs": [[-1.5, -1.5]],
        "values": torch.tensor([[0.4, 0.7]], dtype=DOUBLE, requires_grad=True),
        "token_rewards": [[0.0, 1.0]],
        "rewards": [1.0],
    }
    return tokens([[-1.0, -2.0]], **{**columns, **changed})


def values_gradient(batch: TokenBatch, beta: float = 0.1) -> torch.Tensor:
    algorithm = algorithms.oreo(beta=beta, kl_coef=0.0)
    output = policy_loss(algorithm, batch, LossScale.of(batch))
    return torch.autograd.grad(output.loss, batch["values"])[0]


def test_by_hand() -> None:
    algorithm = algorithms.oreo(beta=0.1, kl_coef=0.0)
    # 0.4 - 1 + 0.1 * (0.5 - 0.5) = -0.6 and 0.7 - 1 + 0.1 * (-0.5) = -0.35
    # squares 0.36 and 0.1225, their mean 0.24125 for the policy and again for the critic
    near(loss_of(algorithm, pair()), 0.4825)
    # 2 * error * beta / 2 by each token's own log-prob; the critic's 2 * error / 2
    near(gradient_of(algorithm, pair()), [[-0.06, -0.035]])
    near(values_gradient(pair()), [[-0.6, -0.35]])


def test_a_token_answers_for_itself_and_not_for_those_after_it() -> None:
    """Without the stop of the gradient the second token's slope would be -0.06 - 0.035."""
    algorithm = algorithms.oreo(beta=0.1, kl_coef=0.0)
    leaf = pair().logprobs.detach().requires_grad_()
    errors = algorithm.surrogate(pair().with_columns(logprobs=leaf))
    (gradient,) = torch.autograd.grad(errors[0, 0], leaf)
    near(gradient, [[-0.12, 0.0]])


def test_the_kl_over_the_vocabulary_is_added_by_hand() -> None:
    batch = pair(reverse_kl_reference=[[0.2, 0.6]])
    near(loss_of(algorithms.oreo(beta=0.1), batch), 0.4825 + 0.01 * 0.4)


@pytest.mark.parametrize("beta", [0.03, 0.3, 2.0])
def test_at_the_optimum_every_token_of_every_response_agrees(beta: float) -> None:
    """The soft Bellman equation, telescoped: no gradient, whoever sampled the responses."""
    algorithm = algorithms.oreo(beta=beta, kl_coef=0.0)
    policy, values = optimum(beta)
    near(policy.exp().prod(dim=1).sum(), 1.0, atol=1e-9)
    for rows in (torch.arange(9), torch.tensor([4]), torch.tensor([0, 0, 7])):
        leaf = values.clone().requires_grad_()
        batch = all_responses(policy, leaf).select(rows)
        near(loss_of(algorithm, batch), 0.0, atol=1e-9)
        near(gradient_of(algorithm, batch), torch.zeros(len(rows), 2), atol=1e-9)
        near(values_gradient(batch, beta), torch.zeros(len(rows), 2), atol=1e-9)
    other = all_responses(policy + 0.1 * drawn(9, 2, seed=9), values)
    assert loss_of(algorithm, other) > 1e-7


def test_responses_weigh_the_same_whatever_their_length() -> None:
    batch = tokens(
        [[-1.0, -1.0, -1.0, -1.0], [-1.0]],
        ref_logprobs=[[-1.0] * 4, [-1.0]],
        values=[[0.5] * 4, [1.0]],
        token_rewards=[[0.0, 0.0, 0.0, 1.0], [0.0]],
        rewards=[1.0, 0.0],
    )
    # errors -0.5 on four tokens, 1 on one: (0.25 + 1) / 2, for policy and critic
    near(loss_of(PLAIN, batch), 1.25)
