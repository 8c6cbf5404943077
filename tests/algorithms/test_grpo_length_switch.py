import math

import torch

from jumar import algorithms

from .hand import advantages, near, rollout


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


BATCH = rollout(
    [1.0, 1.0, 0.0, 1.0, 0.0, 0.0],
    groups=[0, 0, 0, 1, 1, 1],
    lengths=[1, 3, 9, 2, 1, 1],
)


def test_by_hand() -> None:
    # group 0 is solved best, and one of two groups is ceil(0.2 * 2). Right lengths 1 and 3: mean 2,
    # std sqrt(2): sigmoid(-+0.707107) = 0.330238, 0.669762; the wrong one is 0 however long
    near(
        algorithms.grpo_length_switch(eps=0.0).reward(BATCH),
        [1 - 0.6 * 0.330238, 1 - 0.6 * 0.669762, 0.0, 1.0, 0.0, 0.0],
    )


def test_the_number_of_groups_is_rounded_up() -> None:
    rows = rollout([1.0, 1.0] * 6, groups=[i // 2 for i in range(12)], lengths=[1, 2] * 6)
    for fraction, switched in ((0.1, 1), (0.2, 2), (0.5, 3), (1.0, 6)):
        reward = algorithms.grpo_length_switch(fraction=fraction).reward(rows)
        assert int((reward < 1).sum()) == 2 * switched


def test_a_single_right_response_gets_the_middle_of_the_sigmoid() -> None:
    rows = rollout([1.0, 0.0], lengths=[5, 1])
    near(algorithms.grpo_length_switch().reward(rows), [1 - 0.6 * 0.5, 0.0])


def test_among_groups_solved_equally_well_the_draw_decides_for_all_of_a_group() -> None:
    chosen = set()
    for step in range(20):
        rows = rollout([1.0] * 6, groups=[0, 0, 1, 1, 2, 2], lengths=[1, 2] * 3, step=step)
        low = (algorithms.grpo_length_switch().reward(rows) < 1).tolist()
        assert low[::2] == low[1::2]
        chosen.add(low[::2].index(True))
    assert chosen == {0, 1, 2}


def test_where_prompts_are_hard_length_has_no_say() -> None:
    """The paper's claim: no pressure on the responses of groups with a low part of right ones."""
    longer = rollout(
        [1.0, 1.0, 0.0, 1.0, 0.0, 0.0], groups=[0, 0, 0, 1, 1, 1], lengths=[1, 3, 9, 40, 1, 7]
    )
    algorithm = algorithms.grpo_length_switch()
    near(algorithm.reward(longer)[3:], algorithm.reward(BATCH)[3:], atol=0.0)


def test_a_right_response_is_better_than_any_wrong_one_however_long() -> None:
    rows = rollout([1.0] * 7 + [0.0], lengths=[1] * 6 + [5000, 1])
    made = advantages(algorithms.grpo_length_switch(fraction=1.0), rows)[:, 0]
    assert made[6] > made[7]
    assert (made[:6] > made[6]).all()


def test_without_its_weight_it_is_grpo() -> None:
    mine = advantages(algorithms.grpo_length_switch(alpha=0.0), BATCH)
    assert torch.equal(mine, advantages(algorithms.grpo(kl_coef=0.0), BATCH))
