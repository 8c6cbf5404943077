from jumar import algorithms

from .hand import gradient_of, loss_of, near, rollout, tokens


def test_by_hand() -> None:
    batch = tokens([[-1.0, -2.0], [-4.0]])
    # a mean over three tokens: 7 / 3
    near(loss_of(algorithms.sft(), batch), 2.333333)
    near(gradient_of(algorithms.sft(), batch), [[-1 / 3, -1 / 3], [-1 / 3, 0]])


def test_rewards_do_not_matter() -> None:
    rows = [[-1.0, -2.0], [-4.0]]
    plain, other = tokens(rows), tokens(rows, rewards=[5.0, -5.0], advantages=[1.0, -1.0])
    near(loss_of(algorithms.sft(), plain), loss_of(algorithms.sft(), other).detach())


def test_wrong_responses_of_a_stored_rollout_may_be_left_out() -> None:
    rows = rollout([1.0, 0.0, 1.0])
    assert algorithms.sft().keep(rows).all()
    assert algorithms.sft(only_correct=True).keep(rows).tolist() == [True, False, True]
