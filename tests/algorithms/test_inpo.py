import pytest
import torch

from jumar import algorithms

from .hand import gradient_of, loss_of, near, rollout, tokens


def pair(**changed: object) -> object:
    columns = {
        "old_logprobs": [[-1.2], [-0.9]],
        "ref_logprobs": [[-1.5], [-1.0]],
        "rewards": [1.0, 0.0],
    }
    return tokens([[-1.0], [-1.0]], **{**columns, **changed})


def test_by_hand() -> None:
    # leads: pi 0, reference -0.5, last -0.3; tau / eta = 0.25: h = 0.125 + 0.225 = 0.35
    # 1 / (2 * 0.5) = 1: (0.35 - 1)^2, slope 2 * (0.35 - 1)
    algorithm = algorithms.inpo(eta=0.5, tau=0.125)
    near(loss_of(algorithm, pair()), 0.4225)
    near(gradient_of(algorithm, pair())[:, 0], [-1.3, 1.3])


def test_the_best_and_the_worst_make_the_pair() -> None:
    assert algorithms.inpo().keep(rollout([0.3, 0.9, 0.1])).tolist() == [False, True, True]


def test_a_pair_of_equals_has_no_loss() -> None:
    batch = pair(rewards=[1.0, 1.0])
    assert loss_of(algorithms.inpo(), batch) == 0
    assert not gradient_of(algorithms.inpo(), batch).any()


@pytest.mark.parametrize(("tau", "anchor"), [(0.0, "old_logprobs"), (0.5, "ref_logprobs")])
def test_at_either_end_of_tau_it_is_ipo_against_one_anchor(tau: float, anchor: str) -> None:
    batch = pair()
    lead = (batch.logprobs - batch[anchor]).detach()[:, 0]
    ipo = (lead[0] - lead[1] - 1 / (2 * 0.5)) ** 2
    near(loss_of(algorithms.inpo(eta=0.5, tau=tau), batch), ipo, atol=1e-12)


def test_the_lead_comes_to_rest_at_the_mirror_descent_step() -> None:
    """log pi = held log pi_ref + (1 - held) log pi_old + P / eta, of wins 1/2 apart."""
    eta, tau = 0.5, 0.125
    ref, old = torch.tensor([-1.5, -1.0]).double(), torch.tensor([-1.2, -0.9]).double()
    wins = torch.tensor([0.75, 0.25]).double()
    star = 0.25 * ref + 0.75 * old + wins / eta
    batch = tokens(
        star[:, None], old_logprobs=old[:, None], ref_logprobs=ref[:, None], rewards=[1.0, 0.0]
    )
    near(loss_of(algorithms.inpo(eta=eta, tau=tau), batch), 0.0, atol=1e-12)
