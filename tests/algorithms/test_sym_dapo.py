import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from jumar import algorithms
from jumar.ops.divergence import force_reversal
from jumar.types import TokenBatch

from .hand import gradient_of, loss_of, near, tokens


def on_policy(
    logprobs: list[float], references: list[float], advantages: list[float]
) -> TokenBatch:
    rows = [[x] for x in logprobs]
    return tokens(
        rows,
        old_logprobs=rows,
        ref_logprobs=[[x] for x in references],
        advantages=advantages,
        active=[True] * len(rows),
    )


def test_loss_and_gradient_by_hand() -> None:
    algorithm = algorithms.sym_dapo(kl_coef=0.4)
    batch = on_policy([-1.0, -2.0], [-1.5, -1.0], [1.0, -1.0])
    # u = 0.5: -1 + 0.4 * 0.125 = -0.95; u = -1: 1 + 0.4 * 0.5 = 1.2; over two tokens
    near(loss_of(algorithm, batch), 0.125)
    # slopes -1 + 0.4 * 0.5 and 1 - 0.4 * 1, over two tokens
    near(gradient_of(algorithm, batch), [[-0.4], [0.3]])


def test_k3_pulls_less_on_a_token_that_the_policy_likes_more_than_the_reference() -> None:
    algorithm = algorithms.sym_dapo(kl_coef=0.4, estimator="k3")
    batch = on_policy([-1.0, -2.0], [-1.5, -1.0], [1.0, -1.0])
    # 1 - exp(-0.5) = 0.393469 and 1 - exp(1) = -1.718282, where k2 has 0.5 and -1
    near(gradient_of(algorithm, batch), [[-0.5 + 0.078694], [0.5 - 0.343656]])


def test_without_the_pull_it_is_dapo() -> None:
    batch = on_policy([-1.0, -2.0], [-1.5, -1.0], [1.0, -1.0])
    plain, none = algorithms.dapo(), algorithms.sym_dapo(kl_coef=0.0)
    near(loss_of(none, batch), loss_of(plain, batch).detach(), atol=0)
    near(gradient_of(none, batch), gradient_of(plain, batch), atol=0)


numbers = st.floats(-9, 9, allow_subnormal=False)


@given(rows=st.lists(st.tuples(numbers, numbers), min_size=1, max_size=8))
def test_the_pull_reverses_the_verifiers_direction_beyond_a_lead_where_owpo_never_does(
    rows: list[tuple[float, float]],
) -> None:
    """A token's update turns round iff sign(A) * (log pi - log pi_ref) > |A| / beta."""
    beta = 0.5
    assume(all(abs(abs(a) - beta * abs(u)) > 1e-6 for u, a in rows))
    deviation, advantage = zip(*rows, strict=True)
    batch = on_policy([-10 + u for u in deviation], [-10.0] * len(rows), list(advantage))
    plain = gradient_of(algorithms.dapo(), batch)
    symmetric = gradient_of(algorithms.sym_dapo(kl_coef=beta), batch)
    one_way = gradient_of(algorithms.owpo(), batch)
    lead = batch.advantages.sign() * (batch.logprobs - batch.ref_logprobs).detach()
    expected = (lead > batch.advantages.abs() / beta) & (batch.advantages != 0)
    assert ((symmetric.sign() * plain.sign() < 0) == expected).all()
    assert not (one_way.sign() * plain.sign() < 0).any()
    found = force_reversal(batch.advantages, (batch.logprobs - batch.ref_logprobs).detach(), beta)
    assert (found == expected).all()


def test_the_turning_point_by_hand() -> None:
    """A = 1 and beta 0.5: the factor on DAPO's gradient is 1 - 0.5 * lead, so it turns at 2."""
    leads = [-3.0, -0.5, 0.5, 1.9, 2.1, 4.0]
    batch = on_policy([-5.0 + lead for lead in leads], [-5.0] * 6, [1.0] * 6)
    plain = gradient_of(algorithms.dapo(), batch)[:, 0]
    symmetric = gradient_of(algorithms.sym_dapo(kl_coef=0.5), batch)[:, 0]
    near(symmetric / plain, [2.5, 1.25, 0.75, 0.05, -0.05, -1.0])
    one_way = gradient_of(algorithms.owpo(), batch)[:, 0]
    near(one_way / plain, [2.0, math.exp(0.5), math.exp(-0.5), 0.5, 0.5, 0.5])


@pytest.mark.parametrize("beta", [0.01, 0.5])
def test_k1_inside_the_advantage_has_the_same_gradient_at_the_first_update(beta: float) -> None:
    logprobs, references, advantages = [-1.0, -2.0, -0.5], [-1.5, -1.0, -4.0], [1.0, -1.0, 0.3]
    shaped = [a - beta * (x - r) for x, r, a in zip(logprobs, references, advantages, strict=True)]
    near(
        gradient_of(algorithms.dapo(), on_policy(logprobs, references, shaped)),
        gradient_of(algorithms.sym_dapo(kl_coef=beta), on_policy(logprobs, references, advantages)),
        atol=1e-12,
    )
