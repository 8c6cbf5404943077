from itertools import combinations

import pytest
import torch

from jumar import algorithms

from .hand import gradient_of, loss_of, near, tokens


@pytest.mark.parametrize(
    ("eta", "loss", "slope"),
    [
        # eta 1: x = 0.4 - 1 = -0.6 and -0.2 - 0 = -0.2; (-0.4)^2; slope 2 * (-0.4) / 1
        (1.0, 0.16, -0.8),
        # eta 2: x = 0.2 - 1 = -0.8 and -0.1; (-0.7)^2; slope 2 * (-0.7) / 2
        (2.0, 0.49, -0.7),
    ],
)
def test_a_pair_by_hand(eta: float, loss: float, slope: float) -> None:
    algorithm = algorithms.rebel(eta=eta)
    batch = tokens([[-1.0, -1.0], [-2.0]], old_logprobs=[[-1.3, -1.1], [-1.8]], rewards=[1.0, 0.0])
    near(loss_of(algorithm, batch), loss)
    near(gradient_of(algorithm, batch), [[slope, slope], [-slope, 0]])


@pytest.mark.parametrize("n", [2, 3, 4, 5])
def test_the_shares_add_up_to_the_mean_over_all_pairs(n: int) -> None:
    g = torch.Generator().manual_seed(n)
    policy, old = (-torch.rand(n, 3, generator=g, dtype=torch.float64) for _ in range(2))
    reward = torch.randn(n, generator=g, dtype=torch.float64)
    leaf = policy.clone().requires_grad_()
    x = (leaf - old).sum(dim=1) / 0.5 - reward
    pairs = [(x[i] - x[j]).square() for i, j in combinations(range(n), 2)]
    explicit = torch.stack(pairs).mean()
    (gradient,) = torch.autograd.grad(explicit, leaf)
    batch = tokens(policy, old_logprobs=old, rewards=reward)
    algorithm = algorithms.rebel(eta=0.5)
    near(loss_of(algorithm, batch), explicit.detach(), atol=1e-12)
    near(gradient_of(algorithm, batch), gradient, atol=1e-12)


def test_groups_weigh_the_same_and_a_single_response_adds_nothing() -> None:
    same = [[-1.0]] * 6
    batch = tokens(
        same, old_logprobs=same, rewards=[1.0, 0.0, 9.0, 0.0, 0.0, 0.0], groups=[0, 0, 1, 2, 2, 2]
    )
    # squared differences 1, none, 0; over three groups
    near(loss_of(algorithms.rebel(), batch), 1 / 3)


def test_the_loss_is_0_where_log_ratios_differ_as_rewards_do() -> None:
    """The solution of a mirror descent step: any constant may be added to all log-ratios."""
    reward = torch.tensor([1.0, 0.0, 0.5], dtype=torch.float64)
    old = -torch.ones(3, 1, dtype=torch.float64)
    batch = tokens(old + (0.25 * reward + 3)[:, None], old_logprobs=old, rewards=reward)
    near(loss_of(algorithms.rebel(eta=0.25), batch), 0.0, atol=1e-12)


def test_the_released_codes_form_is_eta_squared_times_this() -> None:
    policy, old = [[-1.0], [-2.0]], [[-1.4], [-1.8]]
    batch = tokens(policy, old_logprobs=old, rewards=[1.0, 0.0])
    # difference of log-ratios 0.4 + 0.2, of rewards 1: (0.6 - 3)^2 = 5.76 = 9 * 0.64
    paper, code = algorithms.rebel(eta=3.0), algorithms.rebel(eta=3.0, form="code")
    near(9 * loss_of(paper, batch), 5.76)
    near(loss_of(code, batch), 5.76)
    near(gradient_of(code, batch), 9 * gradient_of(paper, batch), atol=1e-12)


def test_with_eta_1_the_two_forms_are_one() -> None:
    batch = tokens([[-1.0], [-2.0]], old_logprobs=[[-1.4], [-1.8]], rewards=[1.0, 0.0])
    near(
        loss_of(algorithms.rebel(form="code"), batch),
        loss_of(algorithms.rebel(), batch).detach(),
        atol=1e-12,
    )
