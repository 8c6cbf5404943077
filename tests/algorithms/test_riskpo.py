import math

import torch

from jumar import algorithms
from jumar.algorithm import compute_signals
from jumar.algorithms.riskpo import paper_advantage, papers, shared
from jumar.types import RolloutBatch

from .hand import loss_of, near, rollout, tokens

DOUBLE = torch.float64
TAUS = torch.tensor([0.2, 0.8], dtype=DOUBLE)


def numbers(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=DOUBLE)


def exams(table: list[list[float]]) -> RolloutBatch:
    """Rows are papers, columns prompts."""
    rewards = [table[j][q] for q in range(len(table[0])) for j in range(len(table))]
    groups = [q for q in range(len(table[0])) for _ in table]
    numbers = [j for _ in table[0] for j in range(len(table))]
    batch = rollout(rewards, groups=groups)
    return batch.with_columns(sample_ids=torch.tensor(numbers))


def test_the_advantage_of_a_paper_by_hand() -> None:
    # q = (2, 4): 1 is 1 below: -1 / 0.2 = -5; 3 is 1 above the lower: 1 / 0.6; 4 and 9: 2 / 0.6
    found = paper_advantage(numbers(1, 3, 4, 9), numbers(2, 4), TAUS, mix=1.5)
    near(found, [1.5 * -5 / 2.5, 1.666667 / 2.5, 3.333333 / 2.5, 3.333333 / 2.5], atol=1e-4)


def test_what_is_mastered_stops_pulling_and_what_fails_pulls_hardest() -> None:
    scores = torch.linspace(0, 10, 101, dtype=DOUBLE)
    slope = paper_advantage(scores, numbers(2, 4), TAUS, mix=1.5).diff()
    assert (slope[scores[1:] <= 2] > 4 * slope[25]).all()
    assert (slope[scores[1:] > 4.01] == 0).all()


def test_the_share_of_each_response_by_hand() -> None:
    # distances 0.5 and -0.25 sum to 0.25: with the value 1, 2 and -1
    near(shared(numbers(1.0), numbers(0.5, -0.25)[None]), [[2.0, -1.0]])
    # a poor paper, -0.5 and -0.25, with a value below 0: two thirds and a third of it
    near(shared(numbers(-3.0), numbers(-0.5, -0.25)[None]), [[-2.0, -1.0]])
    # where the sum and the value disagree, or the sum is 0, in equal parts
    near(shared(numbers(1.0, 1.0), numbers(-0.5, 0.25, 0.5, -0.5).view(2, 2)), [[0.5, 0.5]] * 2)


def test_no_wrong_answer_gains_from_a_division_by_a_negative_sum() -> None:
    """The released share would give the first of these, the worse one, 2 and the other -1."""
    found = shared(numbers(1.0), numbers(-0.5, 0.25)[None])
    assert found[0, 0] <= found[0, 1]


def test_papers_take_one_response_of_each_prompt_and_every_row_once() -> None:
    batch = exams([[1.0] * 7, [0.0] * 7, [1.0] * 7])
    found = papers(batch, 5)
    assert [tuple(rows.shape) for rows in found] == [(3, 5), (3, 2)]
    assert sorted(torch.cat([rows.flatten() for rows in found]).tolist()) == list(range(21))
    for rows in found:
        assert (batch.sample_ids[rows] == torch.arange(3)[:, None]).all()
        assert (batch.group_ids[rows] == batch.group_ids[rows[0]]).all()


def test_a_rollout_by_hand_and_the_quantiles_it_leaves() -> None:
    # two prompts, papers 2, 1, 0: quantiles at 0.2 and 0.8 of the three are 0.4 and 1.6
    # values: (1.2 / 0.6) / 2.5 = 0.8, (0.6 / 0.6) / 2.5 = 0.4, (1.5 * -0.4 / 0.2) / 2.5 = -1.2
    # std of 2, 1, 0 is 1; distances of {1, 1, 0}: 1/3, 1/3, -2/3; of {1, 0, 0}: 2/3, -1/3, -1/3
    # shares: paper 0 1/3 : 2/3 of 1; paper 1 sums to 0: halves; paper 2 -2/3 : -1/3 of -1
    algorithm = algorithms.riskpo()
    batch = exams([[1.0, 1.0], [1.0, 0.0], [0.0, 0.0]])
    signals, state = compute_signals(algorithm, batch, algorithm.init_state())
    expected = [0.266667, 0.2, -0.8, 0.533333, 0.2, -0.4]
    near(signals.advantages[:, 0], expected, atol=1e-4)
    near(state["quantiles"], [0.4, 1.6])
    # next: two of three papers are below 1.6 and one below 0.4
    _, state = compute_signals(algorithm, batch, state)
    near(state["quantiles"], [0.4 + 0.1 * (0.2 - 1 / 3), 1.6 + 0.1 * (0.8 - 2 / 3)])


def test_the_tracked_quantiles_settle_where_the_scores_have_them() -> None:
    algorithm = algorithms.riskpo(rate=0.05)
    g = torch.Generator().manual_seed(0)
    state = {"quantiles": numbers(0.0, 0.0)}
    for _ in range(400):
        table = torch.rand(8, 5, generator=g, dtype=DOUBLE).tolist()
        batch = exams(table)
        _, state = compute_signals(algorithm, batch, state)
    # sums of five uniforms: mean 2.5, std 0.645; the fifths are 0.84 of it away
    near(state["quantiles"], [2.5 - 0.84 * 0.645, 2.5 + 0.84 * 0.645], atol=0.1)


def test_papers_that_score_alike_are_not_blown_up() -> None:
    algorithm = algorithms.riskpo()
    batch = exams([[1.0, 1.0], [1.0, 1.0]])
    signals, _ = compute_signals(algorithm, batch, {"quantiles": numbers(0.5, 1.5)})
    near(signals.advantages[:, 0], [1 / 0.6 / 2.5 / 2] * 4, atol=1e-4)


def test_a_bad_token_whose_ratio_exploded_costs_three_times_its_advantage_at_most() -> None:
    batch = tokens([[-1.0]], old_logprobs=[[-1.0 - math.log(4)]], advantages=[-1.0])
    near(loss_of(algorithms.riskpo(), batch), 3.0)
    near(loss_of(algorithms.riskpo(dual_clip=None), batch), 4.0)
