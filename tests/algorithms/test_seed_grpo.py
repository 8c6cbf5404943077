import math

import torch

from jumar import algorithms
from jumar.algorithms.seed_grpo import semantic_entropy
from jumar.types import RolloutBatch

from .hand import advantages, near, rollout


def asked(answers: list[int], likely: list[float], rewards: list[float]) -> RolloutBatch:
    return rollout(rewards, answer_ids=torch.tensor(answers), old_logprobs=[[x] for x in likely])


def test_by_hand() -> None:
    # answers 7, 7, 8, 9, all equally likely: shares 1/2, 1/4, 1/4; (0.693147 + 2 * 1.386294) / 3
    batch = asked([7, 7, 8, 9], [-1.0] * 4, [1.0, 1.0, 0.0, 0.0])
    entropy = (math.log(2) + 2 * math.log(4)) / 3 / math.log(4)
    near(semantic_entropy(batch), [entropy] * 4)
    near(
        advantages(algorithms.seed_grpo(alpha=0.5), batch)[:, 0],
        [x * (1 - 0.5 * entropy) for x in (0.5, 0.5, -0.5, -0.5)],
    )


def test_a_likelier_response_weighs_more_in_its_answer() -> None:
    # masses 1 and 1/3: shares 3/4 and 1/4
    batch = asked([7, 8], [-1.0, -1.0 - math.log(3)], [1.0, 0.0])
    near(semantic_entropy(batch), [-(math.log(0.75) + math.log(0.25)) / 2 / math.log(2)] * 2)


def test_one_answer_keeps_the_whole_update_and_all_different_the_least() -> None:
    same = asked([7] * 4, [-1.0] * 4, [1.0, 1.0, 0.0, 0.0])
    mixed = asked([7, 7, 8, 8], [-1.0] * 4, [1.0, 1.0, 0.0, 0.0])
    apart = asked([1, 2, 3, 4], [-1.0] * 4, [1.0, 1.0, 0.0, 0.0])
    sizes = [
        float(advantages(algorithms.seed_grpo(alpha=0.8), batch)[0, 0])
        for batch in (same, mixed, apart)
    ]
    near(sizes, [0.5, 0.5 * (1 - 0.4), 0.5 * 0.2])


def test_the_factor_never_turns_an_update_around() -> None:
    batch = asked([1, 2], [-1.0, -30.0], [1.0, 0.0])
    assert (advantages(algorithms.seed_grpo(alpha=5.0), batch) == 0).all()


def test_without_alpha_it_is_dr_grpo() -> None:
    batch = asked([7, 8, 9, 7], [-1.0, -2.0, -1.5, -1.0], [1.0, 0.0, 0.0, 1.0])
    one, other = algorithms.seed_grpo(alpha=0.0), algorithms.dr_grpo()
    torch.testing.assert_close(advantages(one, batch), advantages(other, batch))
    assert (one.surrogate, one.aggregate) == (other.surrogate, other.aggregate)


def test_groups_do_not_share_answers() -> None:
    ids = torch.tensor([7, 7, 7, 8])
    batch = rollout(
        [1.0, 0.0, 1.0, 0.0], groups=[0, 0, 1, 1], answer_ids=ids, old_logprobs=[[-1.0]] * 4
    )
    near(semantic_entropy(batch), [0.0, 0.0, 1.0, 1.0])
