import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from jumar import algorithms
from jumar.algorithm import Algorithm, policy_loss
from jumar.algorithms.dqo import importance_weight
from jumar.types import LossScale, TokenBatch

from .hand import gradient_of, loss_of, near, tokens
from .soft_tree import DOUBLE, all_responses, drawn, optimum


def pair() -> TokenBatch:
    """Log-ratios 0.5 and -0.5, so the importance weight is 1; a reward of 1 at the end."""
    return tokens(
        [[-1.0, -2.0]],
        ref_logprobs=[[-1.5, -1.5]],
        values=torch.tensor([[0.4, 0.7]], dtype=DOUBLE, requires_grad=True),
        token_rewards=[[0.0, 1.0]],
        rewards=[1.0],
    )


def values_gradient(algorithm: Algorithm, batch: TokenBatch) -> Tensor:
    output = policy_loss(algorithm, batch, LossScale.of(batch))
    return torch.autograd.grad(output.loss, batch["values"])[0]


def test_by_hand() -> None:
    algorithm = algorithms.dqo(beta=0.1, lam=0.5)
    # G_2 = 1 + 0.05 = 1.05            G_1 = 0 - 0.05 + 0.5 * 0.7 + 0.5 * 1.05 = 0.825
    # Q - r - G': 0.4 + 0.05 - 0 - 1.05 = -0.6 and 0.7 - 0.05 - 1 - 0 = -0.35
    # V - G: 0.4 - 0.825 = -0.425 and 0.7 - 1.05 = -0.35
    # squares 0.36, 0.1225, 0.180625, 0.1225; over two tokens
    near(loss_of(algorithm, pair()), 0.3928125)
    near(gradient_of(algorithm, pair()), [[-0.06, -0.035]])  # 2 * error * beta / 2
    near(values_gradient(algorithm, pair()), [[-0.425, -0.35]])


def test_with_lambda_0_each_token_answers_to_the_next_value_by_hand() -> None:
    algorithm = algorithms.dqo(beta=0.1, lam=0.0)
    # G_1 = -0.05 + 0.7 = 0.65: V_1 - G_1 = -0.25; the last token has no next value
    near(values_gradient(algorithm, pair()), [[-0.25, -0.35]])


def test_a_masked_token_in_the_middle_hands_on_what_follows() -> None:
    holed = tokens(
        [[-1.0, None, -2.0]],
        ref_logprobs=[[-1.5, None, -1.5]],
        values=[[0.4, None, 0.7]],
        token_rewards=[[0.0, None, 1.0]],
        rewards=[1.0],
    )
    algorithm = algorithms.dqo(beta=0.1, lam=0.5)
    near(loss_of(algorithm, holed), 0.3928125)
    near(gradient_of(algorithm, holed), [[-0.06, 0.0, -0.035]])


@pytest.mark.parametrize("shift", [-3.0, 0.0, 0.8, 3.0])
def test_the_weight_is_the_responses_ratio_capped_from_above(shift: float) -> None:
    batch = tokens([[-1.0, -2.0]], ref_logprobs=[[-1.0, -2.0 - shift]])
    weight = math.exp(min(shift, 1.0))
    near(importance_weight(batch, max_log_weight=1.0), [[weight, weight]])
    both = pair().with_columns(ref_logprobs=torch.tensor([[-1.0 - shift, -2.0]], dtype=DOUBLE))
    plain, weighed = algorithms.dqo(max_log_weight=None), algorithms.dqo()
    near(gradient_of(weighed, both), weight * gradient_of(plain, both), atol=1e-12)
    near(values_gradient(weighed, both), weight * values_gradient(plain, both), atol=1e-12)


@pytest.mark.parametrize("beta", [0.03, 0.3, 2.0])
@pytest.mark.parametrize("lam", [0.0, 0.7, 1.0])
def test_at_the_optimum_nothing_moves_whatever_lambda_and_whoever_sampled(
    beta: float, lam: float
) -> None:
    algorithm = algorithms.dqo(beta=beta, lam=lam)
    policy, values = optimum(beta)
    for rows in (torch.arange(9), torch.tensor([4]), torch.tensor([0, 0, 7])):
        batch = all_responses(policy, values.clone().requires_grad_()).select(rows)
        near(loss_of(algorithm, batch), 0.0, atol=1e-9)
        near(gradient_of(algorithm, batch), torch.zeros(len(rows), 2), atol=1e-9)
        near(values_gradient(algorithm, batch), torch.zeros(len(rows), 2), atol=1e-9)
    assert loss_of(algorithm, all_responses(policy + 0.1 * drawn(9, 2, seed=9), values)) > 1e-7


def test_with_lambda_1_and_no_weights_it_is_oreo_without_its_kl() -> None:
    policy, values = optimum(0.3)
    moved = policy + 0.3 * drawn(9, 2, seed=5), values + drawn(9, 2, seed=6)
    one = algorithms.dqo(beta=0.3, max_log_weight=None)
    other = algorithms.oreo(beta=0.3, kl_coef=0.0)  # its mean within responses: all have two tokens
    batch = all_responses(moved[0], moved[1].requires_grad_())
    near(loss_of(one, batch), loss_of(other, batch).detach(), atol=1e-12)
    near(gradient_of(one, batch), gradient_of(other, batch), atol=1e-12)
    near(values_gradient(one, batch), values_gradient(other, batch), atol=1e-12)
    assert replace(one, name="oreo") != other
