from dataclasses import replace

import torch

from jumar import algorithms
from jumar.types import RolloutBatch

from .hand import advantages, near, rollout


def rows(**changed: object) -> RolloutBatch:
    """A response of two tokens that the verifier accepts, and a rejected one of one token."""
    columns = {
        "teacher_logprobs": [[-0.6, -1.0], [-3.0]],
        "ref_logprobs": [[-1.0, -4.0], [-1.0]],
        "old_logprobs": [[-0.5, -5.0], [-1.0]],
        "old_values": [[0.0, 0.0], [0.0]],
    }
    return rollout([1.0, 0.0], lengths=[2, 1], **{**columns, **changed})


def test_rewards_by_hand() -> None:
    # DPO's policy: 0.05 * 0.4 = 0.02; 0.05 * 3 = 0.15, cut at 0.05; 0.05 * -2 = -0.1, cut at -0.05
    # KL: 0.01 * 0.5 = 0.005; 0.01 * -1 = -0.01; 0.       The verdict is on the last token
    near(algorithms.rto().reward(rows()), [[0.02 - 0.005, 0.05 + 0.01 + 1.0], [-0.05, 0.0]])


def test_scaled_first_and_cut_afterwards() -> None:
    wide = algorithms.rto(dpo_coef=0.1, dpo_clip=0.25, kl_coef=0.0)
    # 0.1 * 0.4; 0.1 * 3 = 0.3, cut; 0.1 * -2
    near(wide.reward(rows()), [[0.04, 1.25], [-0.2, 0.0]])


def test_uncut_the_rewards_of_a_response_add_up_to_the_one_of_dpo() -> None:
    """beta * log (pi_dpo / pi_ref) of the whole response, given out token by token."""
    dense = algorithms.rto(dpo_coef=0.1, dpo_clip=100.0, kl_coef=0.0)
    batch = rows()
    whole = 0.1 * (batch.teacher_logprobs - batch.ref_logprobs).sum(dim=1) + batch.rewards
    near(dense.reward(batch).sum(dim=1), whole, atol=1e-12)


def test_a_token_gets_its_own_credit_where_ppo_has_only_the_verdict() -> None:
    """With lam = 0 and a critic that knows nothing, credit does not travel."""
    for algorithm, separates in [
        (algorithms.rto(lam=0.0, kl_coef=0.0), True),
        (algorithms.rto(lam=0.0, kl_coef=0.0, dpo_coef=0.0), False),
    ]:
        batch = rollout(
            [0.0, 0.0],
            lengths=[2, 2],
            teacher_logprobs=[[-0.5, -1.0], [-2.0, -1.0]],
            ref_logprobs=[[-1.0, -1.0], [-1.0, -1.0]],
            old_logprobs=[[-1.0, -1.0], [-1.0, -1.0]],
            old_values=[[0.0, 0.0], [0.0, 0.0]],
        )
        made = advantages(algorithm, batch)
        assert (made[0, 0] > made[0, 1] > made[1, 0]) == separates
        assert made[0, 1] == made[1, 1]


def test_the_rest_is_ppo() -> None:
    dense = algorithms.rto(dpo_coef=0.0, kl_coef=0.1)
    plain = algorithms.ppo(kl_coef=0.1, lam=0.95)
    assert replace(dense, name="ppo", reward=plain.reward) == plain
    assert torch.equal(advantages(dense, rows()), advantages(plain, rows()))
