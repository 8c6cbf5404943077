import torch

from jumar import algorithms
from jumar.advantages.gae import generalised_advantage
from jumar.algorithm import policy_loss
from jumar.algorithms.ppo import clipped_value_loss
from jumar.ops.masked import at_last_token
from jumar.types import LossScale, RolloutBatch

from .hand import advantages, column, gradient_of, loss_of, matrix, near, tokens


def scored(rewards: list[float], values: list[list[float | None]]) -> RolloutBatch:
    old, mask = matrix(values)
    return RolloutBatch.build(
        mask=mask,
        old_values=old,
        rewards=column(rewards),
        token_rewards=at_last_token(column(rewards), mask),
        group_ids=torch.zeros(len(mask), dtype=torch.long),
    )


def test_gae_by_hand() -> None:
    rows = scored([1.0], [[0.5, 0.4, 0.6]])
    signals, _ = generalised_advantage(rows, {}, gamma=0.9, lam=0.8)
    # d3 = 1 - 0.6 = 0.4           A3 = 0.4
    # d2 = 0.9 * 0.6 - 0.4 = 0.14  A2 = 0.14 + 0.72 * 0.4 = 0.428
    # d1 = 0.9 * 0.4 - 0.5 = -0.14 A1 = -0.14 + 0.72 * 0.428 = 0.16816
    near(signals.columns["returns"], [[0.66816, 0.828, 1.0]])
    # mean 0.332053; squares 0.026861 + 0.009206 + 0.004617 = 0.040684; std 0.142625
    near(signals.advantages, [[-1.149116, 0.672724, 0.476392]], atol=3e-5)


def test_a_masked_token_in_the_middle_hands_on_what_follows() -> None:
    """A tool's output is nobody's action: neither a step of discount nor a value."""
    plain, _ = generalised_advantage(scored([1.0], [[0.5, 0.4, 0.6]]), {}, gamma=0.9, lam=0.8)
    holed, _ = generalised_advantage(
        scored([1.0], [[0.5, None, None, 0.4, 0.6, None]]), {}, gamma=0.9, lam=0.8
    )
    own = [0, 3, 4]
    near(holed.columns["returns"][0, own], plain.columns["returns"][0], atol=1e-12)
    near(holed.advantages[0, own], plain.advantages[0], atol=1e-12)
    assert not holed.advantages[0, [1, 2, 5]].any()


def test_with_lambda_1_the_advantage_is_the_return_minus_the_value() -> None:
    rows = scored([1.0, -0.5], [[0.5, None, 0.4, 0.6], [0.1, 0.2, None, None]])
    signals, _ = generalised_advantage(rows, {}, gamma=1.0, lam=1.0)
    near(signals.columns["returns"], [[1.0, 0, 1.0, 1.0], [-0.5, -0.5, 0, 0]])
    raw = torch.tensor([0.5, 0.6, 0.4, -0.6, -0.7], dtype=torch.float64)
    white = (raw - raw.mean()) / raw.std()
    near(signals.advantages[rows.mask], white)


def test_with_lambda_0_the_advantage_is_the_one_step_error() -> None:
    rows = scored([1.0], [[0.5, 0.4, 0.6]])
    signals, _ = generalised_advantage(rows, {}, gamma=1.0, lam=0.0)
    # errors -0.1, 0.2, 0.4, so returns 0.4, 0.6, 1.0
    near(signals.columns["returns"], [[0.4, 0.6, 1.0]])


def test_the_critic_may_look_further_ahead_than_the_policy_by_hand() -> None:
    rows = scored([1.0], [[0.5, 0.4, 0.6]])
    near_sighted, _ = generalised_advantage(rows, {}, gamma=0.9, lam=0.8)
    signals, _ = generalised_advantage(rows, {}, gamma=0.9, lam=0.8, critic_lam=1.0)
    # with lambda 1 a return is the discounted reward, whatever the values: 0.81, 0.9, 1
    near(signals.columns["returns"], [[0.81, 0.9, 1.0]])
    assert torch.equal(signals.advantages, near_sighted.advantages)
    same, _ = generalised_advantage(rows, {}, gamma=0.9, lam=0.8, critic_lam=0.8)
    assert torch.equal(same.columns["returns"], near_sighted.columns["returns"])


def test_the_entropy_bonus_is_a_term_of_its_own_and_off_by_default() -> None:
    same = [[-1.0, -2.0]]
    batch = tokens(
        same, old_logprobs=same, advantages=[1.0], values=[[0.0, 0.0]], old_values=[[0.0, 0.0]],
        returns=[[0.0, 0.0]], entropy=[[0.3, 0.5]],
    )  # fmt: skip
    # surrogate -1; the mean entropy is 0.4
    near(loss_of(algorithms.ppo(), batch), -1.0)
    near(loss_of(algorithms.ppo(entropy_coef=0.1), batch), -1.04)
    assert algorithms.ppo().divergences == ()


def test_the_value_loss_takes_the_worse_of_plain_and_clipped_by_hand() -> None:
    leaf = torch.tensor([[0.9, 0.4, 0.55]], dtype=torch.float64, requires_grad=True)
    batch = tokens(
        [[-1.0, -1.0, -1.0]],
        values=leaf,
        old_values=[[0.5, 0.9, 0.5]],
        returns=[[0.4, 0.4, 0.4]],
    )
    loss = clipped_value_loss(batch, clip=0.2, coef=0.5)
    # 0.9 -> near 0.7: max(0.25, 0.09) / 2; 0.4 -> near 0.7: max(0, 0.09) / 2; 0.55: 0.0225 / 2
    near(loss, [[0.125, 0.045, 0.01125]])
    (gradient,) = torch.autograd.grad(loss.sum(), leaf)
    # 0.5 - clipped, so 0 - and 0.15
    near(gradient, [[0.5, 0.0, 0.15]])


def test_critic_and_policy_learn_apart() -> None:
    """The critic's loss adds to the value, not to the policy's gradient."""
    same = [[-1.0, -2.0]]
    values = torch.tensor([[0.9, 0.1]], dtype=torch.float64, requires_grad=True)
    batch = tokens(
        same, old_logprobs=same, advantages=[1.0], values=values, old_values=[[0.9, 0.1]],
        returns=[[1.0, 1.0]],
    )  # fmt: skip
    algorithm = algorithms.ppo()
    # surrogate -1; value loss 0.5 * (0.01 + 0.81) / 2 = 0.205
    near(loss_of(algorithm, batch), -0.795)
    near(gradient_of(algorithm, batch), [[-0.5, -0.5]])
    output = policy_loss(algorithm, batch, LossScale.of(batch))
    (gradient,) = torch.autograd.grad(output.loss, values)
    near(gradient, [[-0.05, -0.45]])
    near(output.metrics["value_loss"][0], 0.41)


def test_the_divergence_from_the_reference_may_be_part_of_the_reward() -> None:
    rows = scored([1.0], [[0.0, 0.0]]).with_columns(
        old_logprobs=column([[-1.0, -1.0]]), ref_logprobs=column([[-1.5, -0.5]])
    )
    # rewards per token: -0.1 * 0.5 = -0.05, and 1 + 0.05; returns 1 and 1.05, whitened +-0.707107
    near(advantages(algorithms.ppo(kl_coef=0.1), rows), [[-0.707107, 0.707107]], atol=1e-5)
