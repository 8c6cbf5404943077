import math

import pytest

from jumar import algorithms
from jumar.types import TokenBatch

from .arms import TEACHER, THETA, exact_gradient, expected_gradient, reverse_kl
from .hand import gradient_of, loss_of, near, tokens

# log pi, log pi_teacher, log pi / mu, A     teacher's lead + A       pi / mu
CASES = [
    (-1.0, -0.5, 0.0, 1.0),  #                0.5 + 1 = 1.5            1
    (-2.0, -3.0, math.log(2), 1.0),  #        -1 + 1 = 0, they cancel  2
    (-1.0, -1.0, 2.0, -1.0),  #               0 - 1 = -1               7.389056, above 5
    (-3.0, -1.0, -2.0, -0.5),  #              2 - 0.5 = 1.5            0.135335, below 0.2
]


def cases(**changed: object) -> TokenBatch:
    policy, teacher, ratio, advantage = zip(*CASES, strict=True)
    columns = {
        "teacher_logprobs": [[x] for x in teacher],
        "rollout_logprobs": [[x - r] for x, r in zip(policy, ratio, strict=True)],
        "advantages": list(advantage),
    }
    return tokens([[x] for x in policy], **{**columns, **changed})


def test_outside_the_gate_a_token_counts_nothing_by_hand() -> None:
    algorithm = algorithms.mopd()
    near(algorithm.token_weight(cases())[:, 0], [1.0, 2.0, 0.0, 0.0])
    # -1.5 * -1 = 1.5, and zeros; over four responses
    near(loss_of(algorithm, cases()), 0.375)
    near(gradient_of(algorithm, cases())[:, 0], [-0.375, 0.0, 0.0, 0.0])


def test_clipped_it_counts_as_much_as_the_nearest_bound_by_hand() -> None:
    algorithm = algorithms.mopd(mode="clip")
    near(algorithm.token_weight(cases())[:, 0], [1.0, 2.0, 5.0, 0.2])
    # 1.5, 0, -(-1) * -1 * 5 = -5, -1.5 * -3 * 0.2 = 0.9; over four responses
    near(loss_of(algorithm, cases()), -0.65)
    near(gradient_of(algorithm, cases())[:, 0], [-0.375, 0.0, 1.25, -0.075])


def test_alpha_weighs_the_verdict_against_the_teacher_by_hand() -> None:
    # 0.5 + 5, -1 + 5 with the ratio 2; over four responses
    gradient = gradient_of(algorithms.mopd(alpha=5.0), cases())
    near(gradient[:, 0], [-1.375, -2.0, 0.0, 0.0])


def test_a_ratio_on_a_bound_is_inside() -> None:
    algorithm = algorithms.mopd(ratio_min=1.0, ratio_max=1.0)
    near(algorithm.token_weight(cases())[:, 0], [1.0, 0.0, 0.0, 0.0])


def test_responses_weigh_the_same_whatever_their_length() -> None:
    batch = tokens(
        [[-1.0, -1.0], [-1.0]],
        teacher_logprobs=[[0.0, 0.0], [0.0]],
        rollout_logprobs=[[-1.0, -1.0], [-1.0]],
        advantages=[0.0, 0.0],
    )
    near(gradient_of(algorithms.mopd(), batch), [[-0.25, -0.25], [-0.5, 0.0]])


@pytest.mark.parametrize("alpha", [0.0, 1.0, 5.0])
def test_on_policy_it_descends_the_divergence_and_climbs_the_reward(alpha: float) -> None:
    """The paper's unification: E[gradient] = grad KL(pi || teacher) - alpha grad E[A]."""
    verdicts = [1.5, -0.5, -0.5, -0.5]
    reward = exact_gradient(lambda lp: sum(lp[i].exp() * a for i, a in enumerate(verdicts)), THETA)
    near(
        expected_gradient(algorithms.mopd(alpha=alpha), THETA, advantages=verdicts),
        exact_gradient(reverse_kl, THETA) - alpha * reward,
        atol=1e-12,
    )


def test_at_the_teacher_only_the_verdict_is_left() -> None:
    near(expected_gradient(algorithms.mopd(), TEACHER), [0.0] * 4, atol=1e-12)
