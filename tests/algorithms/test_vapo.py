from dataclasses import replace

import pytest
import torch

from jumar import algorithms
from jumar.algorithm import compute_signals, policy_loss, reduced_stats
from jumar.algorithms.vapo import length_adaptive_lambda
from jumar.types import LossScale, RolloutBatch, TokenBatch

from .hand import column, gradient_of, loss_of, matrix, near, tokens


def scored(rewards: list[float], values: list[list[float | None]]) -> RolloutBatch:
    old, mask = matrix(values)
    return RolloutBatch.build(
        mask=mask,
        old_values=old,
        rewards=column(rewards),
        correct=column(rewards) > 0.5,
        group_ids=torch.zeros(len(mask), dtype=torch.long),
    )


@pytest.mark.parametrize(
    ("length", "lam"), [(1, 0.0), (19, 0.0), (20, 0.0), (40, 0.5), (1000, 0.98), (30000, 0.999333)]
)
def test_lambda_by_hand(length: int, lam: float) -> None:
    # alpha = 0.05: 1 - 20 / length, and 0 for responses of up to 20 tokens
    lengths = torch.tensor([length], dtype=torch.float64)
    near(length_adaptive_lambda(lengths, alpha=0.05), [lam])


def test_errors_reach_back_a_fixed_share_of_the_response() -> None:
    """The weights of all later errors sum to 1 / (1 - lambda) = alpha length: what defines it."""
    lengths = torch.tensor([100.0, 1000.0, 10000.0], dtype=torch.float64)
    lam = length_adaptive_lambda(lengths, alpha=0.05)
    near(1 / (1 - lam) / lengths, [0.05] * 3, atol=1e-12)
    # a fixed 0.95 is 20 tokens of any: what is 1,000 tokens back sees 5e-23 of the reward
    assert 0.95**1000 < 1e-22 < 0.1 < lam[2] ** 1000


def test_advantages_and_returns_by_hand() -> None:
    rows = scored([1.0, 0.0], [[0.5, 0.4, 0.6, 0.2], [0.5, 0.25, None, None]])
    algorithm = algorithms.vapo(alpha=0.5)
    signals, _ = compute_signals(algorithm, rows, algorithm.init_state())
    # lambda 1/2 for four tokens: errors -0.1, 0.2, -0.4, 0.8 add up to 0, 0.2, 0, 0.8
    # lambda 0 for two: the errors themselves, -0.25 and -0.25
    raw = torch.tensor([0.0, 0.2, 0.0, 0.8, -0.25, -0.25], dtype=torch.float64)
    near(signals.advantages[rows.mask], (raw - raw.mean()) / raw.std(), atol=1e-6)
    # the critic's lambda is 1: the outcome itself
    near(signals.columns["returns"], [[1.0] * 4, [0.0] * 4])


def still(correct: list[bool]) -> TokenBatch:
    """Nothing to learn but from the likelihood of what was right."""
    same = [[-1.0, -2.0], [-4.0]]
    nothing = [[0.0, 0.0], [0.0]]
    return tokens(
        same, old_logprobs=same, advantages=nothing, values=nothing, old_values=nothing,
        returns=nothing, correct=correct,
    )  # fmt: skip


def test_the_likelihood_of_correct_responses_by_hand() -> None:
    # 0.1 * (1 + 2) / 2 tokens, and 0.1 * 4 / 1 token: wrong tokens are not counted either
    near(loss_of(algorithms.vapo(), still([True, False])), 0.15)
    near(gradient_of(algorithms.vapo(), still([True, False])), [[-0.05, -0.05], [0, 0]])
    near(loss_of(algorithms.vapo(), still([False, True])), 0.4)
    near(loss_of(algorithms.vapo(), still([False, False])), 0.0)


def test_the_mean_is_over_the_step_whatever_the_micro_batches() -> None:
    algorithm, batch = algorithms.vapo(), still([True, True])
    parts = [batch.select(torch.tensor([row])) for row in (0, 1)]
    scale = LossScale.of(batch, reduced_stats(algorithm, parts))
    near(policy_loss(algorithm, parts[0], scale).loss, 0.1 * 3 / 3)
    near(policy_loss(algorithm, parts[1], scale).loss, 0.1 * 4 / 3)


def test_without_imitation_it_is_ppo_with_two_lambdas() -> None:
    """ERPD's PPO: for responses of one length, lambda is a number."""
    rows = scored([1.0, 0.0], [[0.5, 0.4, 0.6, 0.2], [0.5, 0.25, 0.1, 0.3]])
    adaptive = algorithms.vapo(alpha=0.5, nll_coef=0.0)
    fixed = algorithms.ppo(clip_high=0.28, lam=0.5, critic_lam=1.0)
    assert replace(adaptive, name="ppo", advantage=fixed.advantage) == fixed
    (one, _), (other, _) = (compute_signals(a, rows, {}) for a in (adaptive, fixed))
    assert torch.equal(one.advantages, other.advantages)
    assert torch.equal(one.columns["returns"], other.columns["returns"])
