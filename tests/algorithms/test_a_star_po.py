import torch

from jumar import algorithms
from jumar.programs.a_star_po import optimal_value

from .hand import gradient_of, loss_of, near, tokens

DOUBLE = torch.float64


def test_by_hand() -> None:
    algorithm = algorithms.a_star_po(beta=0.1)
    batch = tokens(
        [[-1.0, -1.0], [-2.0]],
        ref_logprobs=[[-1.3, -1.2], [-1.0]],
        rewards=[1.0, 0.0],
        optimal_values=[0.6, 0.2],
    )
    # 0.1 * 0.5 - 0.4 = -0.35, squared 0.1225; 0.1 * (-1) + 0.2 = 0.1, squared 0.01; mean 0.06625
    near(loss_of(algorithm, batch), 0.06625)
    # 2 * (-0.35) * 0.1 / 2 and 2 * 0.1 * 0.1 / 2; a sum over tokens gives each the same
    near(gradient_of(algorithm, batch), [[-0.035, -0.035], [0.01, 0.0]])


def test_at_the_optimal_policy_the_loss_is_0_whoever_sampled() -> None:
    """With beta = beta_value and exact V*, by enumeration of a bandit with four arms."""
    beta = 0.5
    reference = torch.tensor([0.1, 0.4, 0.2, 0.3], dtype=DOUBLE)
    reward = torch.tensor([1.0, 0.0, 0.3, -0.5], dtype=DOUBLE)
    partition = (reference * (reward / beta).exp()).sum()
    optimal = reference * (reward / beta).exp() / partition
    # counts in proportion to the reference make the mean over samples exact
    counted = reward.repeat_interleave(torch.tensor([1, 4, 2, 3]))
    value = torch.tensor(optimal_value(counted.tolist(), beta=beta), dtype=DOUBLE)
    near(value, beta * partition.log(), atol=1e-12)
    for arms in ([0, 1, 2, 3], [0, 0, 0, 3], [2]):
        batch = tokens(
            optimal.log()[arms, None],
            ref_logprobs=reference.log()[arms, None],
            rewards=reward[arms],
            optimal_values=value.expand(len(arms)),
        )
        algorithm = algorithms.a_star_po(beta=beta)
        near(loss_of(algorithm, batch), 0.0, atol=1e-12)
        near(gradient_of(algorithm, batch), torch.zeros(len(arms), 1), atol=1e-12)


def test_from_the_reference_the_step_is_the_policy_gradient_with_v_star_as_baseline() -> None:
    same = [[-1.0, -2.0], [-3.0]]
    batch = tokens(same, ref_logprobs=same, rewards=[1.0, 0.0], optimal_values=[0.3, 0.3])
    # -2 beta (r - V*) / B per token: -0.001 * 0.7 and 0.001 * 0.3
    near(gradient_of(algorithms.a_star_po(), batch), [[-7e-4, -7e-4], [3e-4, 0]], atol=1e-12)
