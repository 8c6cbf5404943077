import math

import torch

from jumar import algorithms
from jumar.algorithms.spo_segment import segment_change
from jumar.types import RolloutBatch

from .hand import advantages, gradient_of, loss_of, matrix, near, rollout, tokens

NONE = math.nan
DOUBLE = torch.float64


def change(values: list[list[float]], rewards: list[float]) -> torch.Tensor:
    column = torch.tensor(values, dtype=DOUBLE)
    mask = torch.ones(column.shape, dtype=torch.bool)
    return segment_change(column, mask, torch.tensor(rewards, dtype=DOUBLE))


def test_segments_by_hand() -> None:
    # cuts before tokens 1 and 3, worth 0.4 and 0.9, and in the end it is right
    found = change([[NONE, 0.4, NONE, 0.9, NONE]], [1.0])
    near(found, [[0.0, 0.5, 0.5, 0.1, 0.1]])


def test_without_a_cut_nothing_is_credited() -> None:
    assert (change([[NONE] * 4], [1.0]) == 0).all()


def test_the_changes_of_the_segments_add_up_from_the_first_cut_to_the_reward() -> None:
    values = [[0.3, NONE, 0.7, 0.2, NONE, NONE, 0.5]]
    found = change(values, [0.0])[0]
    firsts = [at for at, value in enumerate(values[0]) if not math.isnan(value)]
    near(found[firsts].sum(), 0.0 - 0.3)


def test_a_token_that_spoils_a_response_is_told_from_one_that_saves_it() -> None:
    """Outcome alone would give all five tokens one number."""
    found = change([[0.5, 0.1, 0.1, 0.9, 0.9]], [1.0])[0]
    assert found[0] < 0
    assert found[2] > 0.7
    assert found[1] == found[3] == 0


def test_a_response_that_ends_early_ends_with_its_reward() -> None:
    values, mask = matrix([[0.5, 0.25, 0.25, 0.25], [0.5, 0.75, None, None]])
    found = segment_change(values, mask, torch.tensor([0.0, 1.0], dtype=DOUBLE))
    near(found[1], [0.25, 0.25, 0.0, 0.0])


def uncertain_rows() -> RolloutBatch:
    return rollout(
        [1.0, 0.0],
        lengths=[3, 3],
        old_logprobs=[[-1.0, -0.01, -1.0], [-1.0, -0.01, -1.0]],
        cut_values=[[0.5, 0.8, 0.8], [0.5, 0.4, 0.4]],
    )


def test_only_uncertain_tokens_are_credited_and_they_are_whitened() -> None:
    # changes 0.3, 0, 0.2 and -0.1, 0, -0.4: without the certain middle ones the mean is 0
    a = advantages(algorithms.spo_segment(), uncertain_rows())
    assert (a[:, 1] == 0).all()
    std = math.sqrt((0.09 + 0.04 + 0.01 + 0.16) / 3)
    near(a[:, [0, 2]], [[0.3 / std, 0.2 / std], [-0.1 / std, -0.4 / std]])


def test_the_mean_is_over_uncertain_tokens_alone() -> None:
    old = [[-1.0, -0.01, -1.0], [-1.0, -0.01, None]]
    batch = tokens(old, old_logprobs=old, advantages=[[1.0, 0.0, 1.0], [1.0, 0.0, None]])
    gradient = gradient_of(algorithms.spo_segment(kl_coef=0.0), batch)
    near(gradient, [[-1 / 3, 0, -1 / 3], [-1 / 3, 0, 0]])


def test_the_kl_is_summed_over_a_responses_uncertain_tokens_by_hand() -> None:
    # k3 of log(pi / pi_ref) = -1 is e - 2 on three counted tokens of two responses
    old = [[-1.0, -0.01, -1.0], [-1.0, -0.01, None]]
    reference = [[0.0, 0.99, 0.0], [0.0, 0.99, None]]
    batch = tokens(old, old_logprobs=old, ref_logprobs=reference, advantages=[0.0, 0.0])
    near(loss_of(algorithms.spo_segment(kl_coef=0.5), batch), 0.5 * 3 * (math.e - 2) / 2)
