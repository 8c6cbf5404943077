import pytest
import torch

from jumar import algorithms
from jumar.algorithm import compute_signals

from .hand import gradient_of, loss_of, near, rollout, tokens

DOUBLE = torch.float64


def test_by_hand() -> None:
    # responses of 0.4 and -0.2 nats; wins 1 and 0 of one: (0.4 - 2 * 0.5)^2 and (-0.2 + 2 * 0.5)^2
    batch = tokens([[-1.0, -1.0], [-2.0]], old_logprobs=[[-1.3, -1.1], [-1.8]], rewards=[1.0, 0.0])
    near(loss_of(algorithms.sppo(eta=2.0), batch), (0.36 + 0.64) / 2)
    near(gradient_of(algorithms.sppo(eta=2.0), batch), [[-0.6, -0.6], [0.8, 0.0]])


def test_the_rewards_are_win_rates_among_all_responses_itself_included() -> None:
    # 3 wins and a draw of 4, a win, a loss and two draws, none but the draw
    signals, _ = compute_signals(algorithms.sppo(), rollout([0.9, 0.5, 0.5, 0.0]), {})
    near(signals.columns["rewards"], [0.875, 0.5, 0.5, 0.125])


def test_a_pair_has_the_loss_of_the_released_code() -> None:
    """Half of both squares, with the probabilities of winning set to 1 and 0."""
    chosen, rejected, beta = torch.tensor(-0.3), torch.tensor(0.2), 0.5
    theirs = 0.5 * (chosen - 0.5 / beta) ** 2 + 0.5 * (rejected + 0.5 / beta) ** 2
    batch = tokens([[-1.3], [-0.8]], old_logprobs=[[-1.0], [-1.0]], rewards=[1.0, 0.0])
    near(loss_of(algorithms.sppo(eta=1 / beta), batch), theirs.double())


@pytest.mark.parametrize("eta", [0.5, 2.0])
def test_where_log_ratios_are_the_multiplicative_weights_nothing_moves(eta: float) -> None:
    wins = torch.tensor([1.0, 0.5, 0.5, 0.0], dtype=DOUBLE)
    old = -torch.ones(4, 1, dtype=DOUBLE)
    batch = tokens(old + (eta * (wins - 0.5))[:, None], old_logprobs=old, rewards=wins)
    near(loss_of(algorithms.sppo(eta=eta), batch), 0.0, atol=1e-12)
    assert not gradient_of(algorithms.sppo(eta=eta), batch).any()


def test_a_likely_response_that_loses_is_lowered_where_dpo_may_raise_it() -> None:
    """The paper's point: each side has a target of its own, not only their difference."""
    batch = tokens([[-1.0], [-1.0]], old_logprobs=[[-1.0], [-1.0]], rewards=[1.0, 0.0])
    gradient = gradient_of(algorithms.sppo(eta=2.0), batch)
    near(gradient[:, 0], [-1.0, 1.0])
    # the winner has arrived, the loser has not: a margin alone would still push both
    later = tokens([[0.0], [-1.0]], old_logprobs=[[-1.0], [-1.0]], rewards=[1.0, 0.0])
    near(gradient_of(algorithms.sppo(eta=2.0), later)[:, 0], [0.0, 1.0])
