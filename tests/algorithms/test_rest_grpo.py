import pytest

from jumar import algorithms

from .hand import advantages, rollout


def kept(
    rewards: list[float], groups: list[int] | None = None, min_std: float = 0.05
) -> list[bool]:
    return algorithms.rest_grpo(min_std=min_std).keep(rollout(rewards, groups=groups)).tolist()


def test_by_hand() -> None:
    # std of 0.5 +- 0.04 is 0.04, of 0.5 +- 0.06 is 0.06
    assert kept([0.46, 0.54, 0.44, 0.56], [0, 0, 1, 1]) == [False, False, True, True]
    # over n: of 0, 0, 0, 0.2 the mean is 0.05, the variance 0.0075, the std 0.0866
    assert all(kept([0.0, 0.0, 0.0, 0.2], min_std=0.0866))
    assert not any(kept([0.0, 0.0, 0.0, 0.2], min_std=0.0867))


def test_a_tie_and_a_single_response_are_dropped() -> None:
    assert kept([0.7, 0.7, 0.7, 0.1], [0, 0, 0, 1]) == [False] * 4


@pytest.mark.parametrize("right", range(9))
def test_for_right_and_wrong_it_is_the_filter_of_dapo(right: int) -> None:
    rewards = [1.0] * right + [0.0] * (8 - right)
    assert kept(rewards) == algorithms.dapo().keep(rollout(rewards)).tolist()


def test_noise_between_nearly_equal_rewards_is_not_blown_up() -> None:
    """The point of a threshold: GRPO would divide a difference of 0.001 by its own std."""
    nearly = rollout([0.5, 0.501])
    assert advantages(algorithms.grpo(kl_coef=0.0), nearly)[1, 0] > 0.7
    assert not algorithms.rest_grpo().keep(nearly).any()
