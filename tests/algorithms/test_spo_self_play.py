import pytest
import torch

from jumar import algorithms

from .hand import advantages, near, rollout

SPO = algorithms.spo_self_play()


def test_by_hand() -> None:
    # 0.9 beats three; 0.5 beats one and ties with one: (1 + 1/2) / 3; 0.0 beats none
    near(SPO.reward(rollout([0.9, 0.5, 0.5, 0.0])), [1.0, 0.5, 0.5, 0.0])
    near(advantages(SPO, rollout([0.9, 0.5, 0.5, 0.0]))[:, 0], [0.5, 0.0, 0.0, -0.5])


def test_groups_play_among_themselves_and_one_alone_has_no_opponent() -> None:
    batch = rollout([1.0, 0.0, 5.0, 7.0, 3.0], groups=[0, 0, 1, 2, 2])
    near(SPO.reward(batch), [1.0, 0.0, 0.5, 1.0, 0.0])


@pytest.mark.parametrize("seed", range(3))
def test_against_itself_a_policy_wins_half_of_the_time(seed: int) -> None:
    g = torch.Generator().manual_seed(seed)
    rewards = torch.randint(0, 4, (9,), generator=g).double()
    near(SPO.reward(rollout(rewards.tolist())).mean(), 0.5, atol=1e-12)


def test_only_the_order_counts() -> None:
    """The paper's point: no scale of a reward model to tune, and no outlier that takes over."""
    plain = SPO.reward(rollout([0.1, 0.4, 0.2, 0.3]))
    near(SPO.reward(rollout([-1e3, 1e6, 0.0, 2.0])), plain, atol=0.0)


def test_of_right_and_wrong_it_is_rloo_halved() -> None:
    batch = rollout([1.0, 0.0, 0.0, 1.0, 0.0])
    near(advantages(SPO, batch), advantages(algorithms.rloo(), batch) / 2, atol=1e-12)
