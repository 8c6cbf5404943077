import math

import torch

from jumar import algorithms

from .hand import gradient_of, loss_of, near, tokens


def test_by_hand() -> None:
    batch = tokens([[-1.0, -2.0], [-2.0]], rewards=[1.0, 0.0])
    # means -1.5 and -2: 2 * 0.5 - 0.4 = 0.6; -log sigmoid = 0.437488; sigmoid(-0.6) = 0.354344
    near(loss_of(algorithms.simpo(margin=0.4), batch), 0.437488)
    near(gradient_of(algorithms.simpo(margin=0.4), batch), [[-0.354344] * 2, [0.708687, 0.0]])


def test_a_tie_has_no_gradient_and_no_reference_is_read() -> None:
    batch = tokens([[-1.0], [-2.0]], rewards=[1.0, 1.0])
    assert not gradient_of(algorithms.simpo(), batch).any()
    assert not algorithms.simpo().reads


def test_length_does_not_make_a_response_better_or_worse() -> None:
    """The paper's first point: the reward is what greedy decoding looks at, a mean per token."""
    short = tokens([[-1.0], [-2.0]], rewards=[1.0, 0.0])
    long = tokens([[-1.0] * 5, [-2.0]], rewards=[1.0, 0.0])
    near(loss_of(algorithms.simpo(), long), loss_of(algorithms.simpo(), short).detach())


def test_the_margin_keeps_pushing_where_the_order_is_right_already() -> None:
    """The paper's second point."""
    batch = tokens([[-1.0], [-1.5]], rewards=[1.0, 0.0])
    without, with_margin = (
        -gradient_of(algorithms.simpo(margin=margin), batch)[0, 0] for margin in (0.0, 3.0)
    )
    assert with_margin > 2 * without


def test_without_margin_on_responses_of_one_token_it_is_dpo_from_a_uniform_reference() -> None:
    now = [[-1.0], [-2.0]]
    batch = tokens(now, rewards=[1.0, 0.0], ref_logprobs=[[-math.log(7)]] * 2)
    mine = gradient_of(algorithms.simpo(beta=0.3, margin=0.0), batch)
    assert torch.equal(mine, gradient_of(algorithms.dpo(beta=0.3), batch))
