import math

from jumar import algorithms

from .hand import advantages, gradient_of, loss_of, near, rollout, tokens


def test_by_hand() -> None:
    batch = tokens(
        [[-1.0], [-1.0, -2.0]],
        old_logprobs=[[-1.0 - math.log(1.5)], [-1.0 + math.log(2), -2.0]],
        advantages=[1.0, 1.0],
    )
    # r = 1.5 is clipped: -1.2; r = 0.5 and 1: -(0.5 + 1) / 2; the mean of both responses
    near(loss_of(algorithms.raft_pp(), batch), (-1.2 - 0.75) / 2)
    near(gradient_of(algorithms.raft_pp(), batch), [[0, 0], [-0.125, -0.25]])
    near(gradient_of(algorithms.raft_pp(clip_high=0.6), batch)[0, 0], -0.75)


def test_only_right_responses_are_kept_whatever_their_group_got() -> None:
    rows = rollout([1.0, 0.0, 0.0, 0.0, 1.0, 1.0], groups=[0, 0, 1, 1, 2, 2])
    kept = algorithms.raft_pp().keep(rows)
    assert kept.tolist() == [True, False, False, False, True, True]
    near(advantages(algorithms.raft_pp(), rows.select(kept))[:, 0], [1.0, 1.0, 1.0])


def test_partial_credit_is_not_a_right_answer() -> None:
    rows = rollout([0.4, 0.0], correct=[False, False])
    assert not algorithms.raft_pp().keep(rows).any()


def test_wrong_responses_teach_nothing_even_where_they_cannot_be_dropped() -> None:
    same = [[-1.0, -2.0], [-3.0]]
    made = advantages(algorithms.raft_pp(), rollout([1.0, 0.0], lengths=[2, 1]))
    batch = tokens([[-1.0, -2.0], [-3.0, None]], old_logprobs=same, advantages=made[:, 0])
    near(gradient_of(algorithms.raft_pp(), batch), [[-0.25, -0.25], [0, 0]])


def test_it_is_fine_tuning_on_right_responses_until_they_have_moved() -> None:
    """A group that is all right teaches too; the group's mean would have taken that away."""
    same = [[-1.0, -2.0], [-1.5, -0.5]]
    made = advantages(algorithms.raft_pp(), rollout([1.0, 1.0], lengths=[2, 2]))
    assert not advantages(algorithms.grpo(kl_coef=0.0), rollout([1.0, 1.0])).any()
    batch = tokens(same, old_logprobs=same, advantages=made[:, 0])
    near(gradient_of(algorithms.raft_pp(), batch), gradient_of(algorithms.sft(), batch))
    later = tokens([[-0.5, -1.5], [-1.5, -0.5]], old_logprobs=same, advantages=made[:, 0])
    near(gradient_of(algorithms.raft_pp(), later)[0], [0.0, 0.0])
    assert gradient_of(algorithms.sft(), later)[0].all()


def test_the_name_with_pluses_is_found_by_what_a_shell_can_type() -> None:
    assert algorithms.get("raftpp") == algorithms.raft_pp()
