import torch

from jumar import algorithms

from .hand import advantages, gradient_of, loss_of, near, rollout, tokens


def test_by_hand() -> None:
    algorithm = algorithms.reinforce(baseline=0.5)
    # the baseline is subtracted: 1 - 0.5 and 0.25 - 0.5
    a = advantages(algorithm, rollout([1.0, 0.25]))
    near(a[:, 0], [0.5, -0.25])
    batch = tokens([[-1.0, -2.0], [-3.0]], advantages=a[:, 0])
    # rows: -0.5 * (-3) = 1.5 and 0.25 * (-3) = -0.75; mean 0.375
    near(loss_of(algorithm, batch), 0.375)
    near(gradient_of(algorithm, batch), [[-0.25, -0.25], [0.125, 0.0]])


def test_its_expected_gradient_is_that_of_the_expected_reward_for_any_baseline() -> None:
    theta = torch.tensor([0.2, -0.5, 0.9], dtype=torch.float64, requires_grad=True)
    reward = torch.tensor([1.0, 0.3, -0.4], dtype=torch.float64)
    pi = theta.softmax(0)
    (exact,) = torch.autograd.grad(-(pi * reward).sum(), theta)
    for baseline in (0.0, 0.7):
        algorithm = algorithms.reinforce(baseline=baseline)
        total = torch.zeros(3, dtype=torch.float64)
        for arm in range(3):
            batch = tokens(
                theta.log_softmax(0)[arm].view(1, 1), advantages=[float(reward[arm]) - baseline]
            )
            (gradient,) = torch.autograd.grad(loss_of(algorithm, batch), theta)
            total += pi[arm].detach() * gradient
        torch.testing.assert_close(total, exact)
