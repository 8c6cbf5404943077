import math

import pytest
import torch

from jumar import algorithms
from jumar.types import TokenBatch

from .hand import advantages, gradient_of, loss_of, near, rollout, tokens


def batch(drift: float, length: int = 2) -> TokenBatch:
    """A right and a wrong response, whose tokens have moved by `drift` nats each since sampling."""
    now = [[-1.0] * length] * 2
    old = [[-1.0 - drift] * length] * 2
    return tokens(now, rollout_logprobs=old, old_logprobs=now, advantages=[1.0, -1.0])


def test_by_hand() -> None:
    rows = tokens(
        [[-1.0, -2.0], [-1.0, -2.0]],
        rollout_logprobs=[[-9.0, -9.0], [-1.0 + math.log(8), -2.0 - math.log(2)]],
        advantages=[1.0, -1.0],
    )
    # right: weight 1, -1 * (-3) = 3; wrong: ratio 2 / 8 = 1/4, and 1/4 * (-3); mean of both
    near(loss_of(algorithms.topr(), rows), (3 - 0.75) / 2)
    near(gradient_of(algorithms.topr(), rows), [[-0.5, -0.5], [0.125, 0.125]])
    # per token: 1/8 and min(1, 2): 1/8 * (-1) + 1 * (-2) = -2.125
    near(loss_of(algorithms.topr(level="token"), rows), (3 - 2.125) / 2)


def test_verdicts_become_plus_and_minus_one_less_the_baseline() -> None:
    rows = rollout([1.0, 0.0, 0.5])
    near(advantages(algorithms.topr(), rows)[:, 0], [1.0, -1.0, 0.0])
    near(advantages(algorithms.topr(baseline=-0.5), rows)[:, 0], [1.5, -0.5, 0.5])


def test_a_wrong_response_fades_as_it_becomes_unlikely_and_a_right_one_never_does() -> None:
    """So nothing is pushed to minus infinity, as REINFORCE does with stored responses."""
    right, wrong = [], []
    for drift in (0.0, -1.0, -2.0, -10.0, -1e4):
        gradient = gradient_of(algorithms.topr(), batch(drift))
        right.append(float(gradient[0, 0]))
        wrong.append(float(gradient[1, 0]))
        assert float(gradient_of(algorithms.reinforce(), batch(drift))[1, 0]) == 0.5
    assert right == [-0.5] * 5
    assert wrong == pytest.approx([0.5 * math.exp(-2 * d) for d in (0, 1, 2, 10, 1e4)])
    assert wrong[-1] == 0


@pytest.mark.parametrize("drift", [1.0, 5.0, 1e4])
def test_a_wrong_response_that_became_likelier_weighs_no_more_than_1(drift: float) -> None:
    near(gradient_of(algorithms.topr(), batch(drift))[1], [0.5, 0.5], atol=1e-12)


def test_on_policy_it_is_reinforce() -> None:
    now = batch(0.0)
    assert torch.equal(
        gradient_of(algorithms.topr(), now), gradient_of(algorithms.reinforce(), now)
    )


@pytest.mark.parametrize(("p", "baseline"), [(0.25, 0.0), (0.25, -0.5), (0.5, 0.8), (0.75, -1.0)])
def test_the_baseline_sets_the_effective_share_of_right_responses(
    p: float, baseline: float
) -> None:
    right = int(p * 8)
    made = advantages(
        algorithms.topr(baseline=baseline), rollout([1.0] * right + [0.0] * (8 - right))
    )
    share = made[:right].sum() / made.abs().sum()
    near(share, p * (1 - baseline) / (1 + (1 - 2 * p) * baseline), atol=1e-12)


def test_the_ratio_may_be_against_the_trainers_own_log_probs() -> None:
    """Those of a stored data set, whose sampler nobody recorded."""
    algorithm = algorithms.topr(behaviour="old_logprobs")
    assert algorithm.reads == {"old_logprobs"}
    assert algorithms.topr().reads == {"rollout_logprobs"}
    near(gradient_of(algorithm, batch(-5.0))[1], [0.5, 0.5])
