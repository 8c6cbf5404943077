from jumar import algorithms

from .hand import advantages, gradient_of, loss_of, near, rollout, tokens

LENGTHS = (1, 2, 4)
SAME = [[-1.0] * n for n in LENGTHS]


def test_by_hand() -> None:
    algorithm = algorithms.dr_grpo(length=10)
    a = advantages(algorithm, rollout([1.0, 0.0, 0.0]))[:, 0]
    near(a, [2 / 3, -1 / 3, -1 / 3])
    batch = tokens(SAME, old_logprobs=SAME, advantages=a)
    # sums -2/3, 2/3, 4/3; mean over responses 4/9; over 10
    near(loss_of(algorithm, batch), 0.044444)


def test_a_wrong_token_is_punished_the_same_in_a_short_and_in_a_long_response() -> None:
    """GRPO punishes it less the longer the response is, which is how lengths grow."""
    batch = tokens(SAME, old_logprobs=SAME, advantages=[1.0, -1.0, -1.0])
    gradient = gradient_of(algorithms.dr_grpo(length=10), batch)
    near(gradient[1, :2], [1 / 30, 1 / 30])
    near(gradient[2], [1 / 30] * 4)
    biased = gradient_of(algorithms.grpo(kl_coef=0.0), batch)
    assert biased[1, 0] == 2 * biased[2, 0]


def test_the_advantage_keeps_the_spread_of_the_rewards() -> None:
    """GRPO blows up a group that differs by a hair to the size of one that differs by a lot."""
    rows = rollout([1.0, 0.0, 0.51, 0.49], groups=[0, 0, 1, 1])
    near(advantages(algorithms.dr_grpo(), rows)[:, 0], [0.5, -0.5, 0.01, -0.01])
    flat = advantages(algorithms.grpo(eps=0.0), rows)[:, 0]
    near(flat, [0.707107, -0.707107, 0.707107, -0.707107])
