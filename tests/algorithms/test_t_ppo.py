import pytest
import torch

from jumar import algorithms
from jumar.advantages.gae import discounted_errors
from jumar.algorithm import compute_signals, policy_loss
from jumar.algorithms.t_ppo import extended_advantage
from jumar.types import LossScale, RolloutBatch

from .hand import advantages, near, rollout, tokens


def cut(truncated: list[bool], rewards: list[float] | None = None) -> RolloutBatch:
    return rollout(
        rewards or [1.0] * len(truncated),
        lengths=[3] * len(truncated),
        truncated=truncated,
        old_values=[[0.5, 0.6, 0.8]] * len(truncated),
    )


def test_after_a_cut_the_last_value_stays_by_hand() -> None:
    rows = cut([True, False])
    after = torch.tensor([0.8, 0.0], dtype=torch.float64)
    rewards = torch.tensor([[0, 0, 0], [0, 0, 1.0]], dtype=torch.float64)
    found = discounted_errors(
        rows.with_columns(token_rewards=rewards), gamma=1.0, lam=0.5, after=after
    )
    # cut:      d = 0.1, 0.2, 0.8 - 0.8 = 0;    A = 0.1 + 0.5 * 0.2, 0.2 + 0, 0
    # finished: d = 0.1, 0.2, 1 - 0.8 = 0.2;    A = 0.1 + 0.5 * 0.3, 0.2 + 0.5 * 0.2, 0.2
    near(found, [[0.2, 0.2, 0.0], [0.25, 0.3, 0.2]])
    # the algorithm's own, up to whitening: one line through all six numbers
    made = advantages(algorithms.t_ppo(lam=0.5), rows)
    spread = (found - found.mean()) / found.std()
    near(made, spread, atol=1e-5)


def test_the_verdict_on_a_cut_response_is_not_its_reward() -> None:
    good, bad = cut([True, False], [1.0, 1.0]), cut([True, False], [0.0, 1.0])
    assert torch.equal(advantages(algorithms.t_ppo(), good), advantages(algorithms.t_ppo(), bad))


@pytest.mark.parametrize(("gamma", "lam"), [(1.0, 1.0), (0.9, 0.5)])
def test_where_nothing_is_cut_it_is_ppo_with_monte_carlo_returns(gamma: float, lam: float) -> None:
    rows = cut([False, False], [1.0, 0.0])
    mine, _ = compute_signals(algorithms.t_ppo(gamma=gamma, lam=lam), rows, {})
    ppos, _ = compute_signals(algorithms.ppo(gamma=gamma, lam=lam, critic_lam=1.0), rows, {})
    assert torch.equal(mine.advantages, ppos.advantages)
    assert torch.equal(mine.columns["returns"], ppos.columns["returns"])


def test_the_critic_learns_from_finished_responses_the_policy_from_all() -> None:
    values = torch.tensor([[0.5], [0.5]], dtype=torch.float64, requires_grad=True)
    batch = tokens(
        [[-1.0], [-1.0]],
        old_logprobs=[[-1.0], [-1.0]],
        advantages=[1.0, 1.0],
        values=values,
        old_values=[[0.5], [0.5]],
        returns=[[1.0], [1.0]],
        truncated=[True, False],
    )
    loss = policy_loss(algorithms.t_ppo(), batch, LossScale.of(batch)).loss
    critic, policy = torch.autograd.grad(loss, [values, batch.logprobs])
    # coef 0.5 times 2 * (0.5 - 1) over two tokens
    near(critic[:, 0], [0.0, -0.25])
    near(policy[:, 0], [-0.5, -0.5])


def test_a_cut_response_is_judged_by_how_far_the_critic_saw_it_come() -> None:
    """The paper's point: progress is learned from before anything is finished."""
    rising = rollout(
        [0.0, 0.0],
        lengths=[3, 3],
        truncated=[True, True],
        old_values=[[0.2, 0.5, 0.8], [0.8, 0.5, 0.2]],
    ).with_columns(token_rewards=torch.zeros(2, 3, dtype=torch.float64))
    made = extended_advantage(rising, {}, gamma=1.0, lam=1.0)[0].advantages
    assert (made[0, :2] > 0).all()
    assert (made[1, :2] < 0).all()
