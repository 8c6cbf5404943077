import math

import torch

from jumar import algorithms
from jumar.algorithm import compute_signals
from jumar.algorithms.copo import answer_entropy, full_discount
from jumar.types import RolloutBatch, Signals

from .hand import gradient_of, loss_of, near, rollout, tokens


def asked(rewards: list[float], answers: list[int], groups: list[int]) -> RolloutBatch:
    return rollout(rewards, groups=groups, answer_ids=torch.tensor(answers))


def signals_of(batch: RolloutBatch, **settings: float | None) -> Signals:
    return compute_signals(algorithms.copo(**settings), batch, {})[0]


def test_the_entropy_of_answers_by_hand() -> None:
    # {7, 7, 8, 9}: 1/2 * 1 + 2 * 1/4 * 2 = 1.5 bits; {7, 7}: none, though it is answered elsewhere
    batch = asked([1.0] * 6, [7, 7, 8, 9, 7, 7], [0, 0, 0, 0, 1, 1])
    near(answer_entropy(batch), [1.5] * 4 + [0.0] * 2)


def three_prompts() -> RolloutBatch:
    return asked(
        [1.0, 1.0, 0.0, 0.0, 1.0, 1.0, 1.0, 0.0],
        [7, 7, 8, 9, 3, 3, 5, 6],
        [0, 0, 0, 0, 1, 1, 2, 2],
    )


def test_both_advantages_and_the_share_by_hand() -> None:
    # Q = 0.5, 1, 0.5: mean 2/3, std 0.288675; entropies 1.5, 0 and 1: 5 (1.5 - 1) = 2.5, -5 and 0
    signals = signals_of(three_prompts())
    local = [0.866025, 0.866025, -0.866025, -0.866025, 0, 0, 0.707107, -0.707107]
    near(signals.advantages[:, 0], local, atol=1e-5)
    prompts = [-0.577350] * 4 + [1.154701] * 2 + [-0.577350] * 2
    near(signals.columns["prompt_advantages"], prompts, atol=1e-5)
    share = [1 / (1 + math.exp(-2.5))] * 2 + [0.0] * 2 + [1 / (1 + math.exp(5.0))] * 2 + [0.5, 0.0]
    near(signals.columns["local_share"], share)


def test_with_the_discount_consistent_prompts_stand_higher_by_hand() -> None:
    # lam = 3/4 / 2 for four responses: Q = 0.5 * (1 - 0.375 * 1.5) = 0.21875; all of one answer:
    # Q = 1; lam = 1/2 for two: Q = 0.5 * (1 - 0.5) = 0.25; mean 0.489583, std 0.442310
    prompts = [-0.612314] * 4 + [1.153977] * 2 + [-0.541663] * 2
    found = signals_of(three_prompts(), lam=None).columns["prompt_advantages"]
    near(found, prompts, atol=1e-5)


def test_a_wrong_response_moves_with_its_prompt_alone() -> None:
    """Its prompt is better than the other, so it is pushed up with it."""
    batch = asked([1.0, 1.0, 1.0, 0.0, 0.0, 0.0], [1, 2, 3, 4, 5, 5], [0, 0, 0, 0, 1, 1])
    signals = signals_of(batch)
    same = [[-1.0]] * 6
    made = {n: c for n, c in signals.columns.items() if n in ("prompt_advantages", "local_share")}
    rows = tokens(
        same,
        old_logprobs=same,
        advantages=signals.advantages,
        groups=[0, 0, 0, 0, 1, 1],
        **made,
    )
    near(gradient_of(algorithms.copo(), rows)[3, 0] * 6, -0.707106, atol=1e-5)


def test_where_all_answers_differ_the_released_discount_leaves_one_of_n() -> None:
    for n in (2, 4, 7):
        batch = asked([1.0] * n, list(range(n)), [0] * n)
        kept = 1 - full_discount(batch) * answer_entropy(batch)
        near(kept, [1 / n] * n)
    assert full_discount(asked([1.0], [3], [0])) == 0


def test_where_all_agree_right_groups_are_raised_and_wrong_ones_lowered() -> None:
    """GRPO is silent on both."""
    batch = asked([1.0, 1.0, 0.0, 0.0], [3, 3, 4, 4], [0, 0, 1, 1])
    signals = signals_of(batch)
    assert (signals.advantages == 0).all()
    made = {n: c for n, c in signals.columns.items() if n in ("prompt_advantages", "local_share")}
    same = [[-1.0]] * 4
    rows = tokens(same, old_logprobs=same, advantages=[0.0] * 4, groups=[0, 0, 1, 1], **made)
    gradient = gradient_of(algorithms.copo(), rows)[:, 0]
    assert (gradient[:2] < 0).all()
    assert (gradient[2:] > 0).all()


def test_of_two_prompts_as_right_the_consistent_one_is_preferred() -> None:
    batch = asked([1.0, 0.0, 1.0, 0.0, 0.0, 0.0], [3, 4, 5, 6, 7, 7], [0, 0, 1, 1, 2, 2])
    even = signals_of(batch, lam=None).columns["prompt_advantages"]
    assert torch.equal(even[0], even[2])
    rights = asked([0.5, 0.5, 0.5, 0.5], [3, 3, 5, 6], [0, 0, 1, 1])
    made = signals_of(rights, lam=None).columns["prompt_advantages"]
    assert made[0] > 0 > made[2]
    level = signals_of(rights).columns["prompt_advantages"]
    assert (level == 0).all()


def test_the_loss_is_the_blend_of_two_clipped_ones() -> None:
    batch = tokens(
        [[-1.0], [-1.0]],
        old_logprobs=[[-1.0 - math.log(1.5)], [-1.0]],
        advantages=[1.0, -1.0],
        prompt_advantages=[-2.0, 1.0],
        local_share=[0.25, 0.5],
    )
    # row 0, r = 1.5: -1.2 for A = 1, 3 for A = -2: 0.25 * -1.2 + 0.75 * 3 = 1.95
    # row 1, r = 1: 0.5 * 1 + 0.5 * -1 = 0
    near(loss_of(algorithms.copo(), batch), 1.95 / 2)
    near(gradient_of(algorithms.copo(), batch)[:, 0], [0.75 * 3 / 2, 0.0])
