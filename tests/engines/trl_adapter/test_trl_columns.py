"""TRL's dictionary as our columns, by hand."""

import math

import pytest
import torch

from jumar import algorithms
from jumar.engines.trl.columns import by_group, by_row, own_columns, scored, with_signals
from jumar.tasks.task import Example

pytestmark = pytest.mark.slow  # the package imports TRL where there is one

PAD, EOS = 0, 1
ROWS = [
    {"prompt": "one  plus one"},
    {"prompt": [{"role": "user", "content": "hi"}]},
    {"prompt": ""},
]


def output(**more):
    return {
        "completion_ids": torch.tensor([[5, 6, EOS], [7, 8, 9], [5, EOS, PAD]]),
        "completion_mask": torch.tensor([[1, 1, 1], [1, 1, 1], [1, 1, 0]]),
        **more,
    }


def columns(reads=(), rows=ROWS, **more):
    return own_columns(output(**more), rows, [EOS, PAD], frozenset(reads))


def test_the_mask_ends_at_the_end_of_a_response():
    assert columns()["mask"].tolist() == [[True] * 3, [True] * 3, [True, True, False]]


def test_a_response_that_does_not_end_is_truncated():
    assert columns()["truncated"].tolist() == [False, True, False]


def test_one_that_trl_masks_for_being_truncated_still_is():
    masked = torch.tensor([[1, 1, 1], [0, 0, 0], [1, 1, 0]])
    found = columns(completion_mask=masked)
    assert found["truncated"].tolist() == [False, True, False]
    assert not found["mask"][1].any()


def test_what_a_tool_wrote_is_left_out():
    found = columns(tool_mask=torch.tensor([[1, 0, 1], [1, 1, 1], [1, 1, 1]]))
    assert found["mask"].tolist() == [[True, False, True], [True] * 3, [True, True, False]]


def test_a_token_without_a_log_prob_of_the_sampler_is_not_trained_on():
    logprobs = torch.full((3, 3), -1.0)
    logprobs[0, 1] = math.nan
    given = {"sampling_per_token_logps": logprobs}
    assert columns(**given)["mask"][0].tolist() == [True, True, True]
    found = columns(reads=["rollout_logprobs"], **given)
    assert found["mask"][0].tolist() == [True, False, True]


def test_a_prompt_has_the_id_that_a_task_gives_it():
    ids = columns()["prompt_ids"]
    assert ids[0] == Example(prompt="one plus one").prompt_id
    assert len(set(ids.tolist())) == 3


def test_a_number_per_prompt_comes_from_the_data_set():
    rows = [{**row, "optimal_values": value} for row, value in zip(ROWS, (1, 0.5, 0), strict=True)]
    assert columns(["optimal_values"], rows)["optimal_values"].tolist() == [1.0, 0.5, 0.0]
    assert "optimal_values" not in columns([], rows)


def rollout(rewards, full_mark=1.0, weights=(1.0,)):
    given = torch.tensor(rewards)
    local = {"mask": torch.ones(len(given), 2, dtype=torch.bool)}
    batch, scorable = scored(
        local, given, torch.tensor(weights), group_size=2, full_mark=full_mark, step=3, seed=5
    )
    truncated = torch.zeros(len(given), dtype=torch.bool)
    return batch.with_columns(truncated=truncated, prompt_ids=batch.group_ids), scorable


def test_rewards_are_weighted_and_right_from_the_full_mark_on():
    batch, scorable = rollout([[0.7, 0.6], [0.7, 0.0], [0.0, math.nan]], 1.0, (1.0, 0.5))
    torch.testing.assert_close(batch.rewards, torch.tensor([1.0, 0.7, 0.0]))
    assert batch.correct.tolist() == [True, False, False]
    assert scorable.all()
    assert (batch.step, batch.stage_step, batch.seed) == (3, 3, 5)
    assert batch.group_ids.tolist() == [0, 0, 1]
    assert batch.sample_ids.tolist() == [0, 1, 0]


def test_rows_without_any_reward_are_as_if_they_had_not_been_sampled():
    batch, scorable = rollout([[1.0], [math.nan], [1.0], [0.0]])
    found, _, metrics = with_signals(algorithms.rloo(), batch, scorable, {})
    assert found["mask"].any(dim=1).tolist() == [True, False, True, True]
    assert found["advantages"][:, 0].tolist() == [0.0, 0.0, 1.0, -1.0]
    assert float(metrics["kept"][0]) == 3.0


def test_rows_that_keep_drops_are_zero():
    batch, scorable = rollout([[1.0], [1.0], [1.0], [0.0]])
    found, _, metrics = with_signals(algorithms.raft_pp(), batch, scorable, {})
    assert found["mask"].any(dim=1).tolist() == [True, True, True, False]
    assert not any(bool(column[3].any()) for column in found.values())
    assert [float(number) for number in metrics["kept"]] == [3.0, 4.0]


@pytest.mark.parametrize("name", ["dapo", "owpo", "raft_pp", "bapo", "rebel"])
def test_where_nothing_is_kept_the_columns_are_there_and_nothing_counts(name):
    batch, scorable = rollout([[math.nan]] * 4)
    state = {"seen": torch.tensor(1)}
    found, after, _ = with_signals(algorithms.get(name), batch, scorable, state)
    assert after is state
    assert not found["mask"].any()
    assert {"advantages", "rewards", "token_rewards"} <= found.keys()
    assert ("active" in found) == (name == "owpo")


def test_groups_stay_whole_under_trls_shuffle_and_become_rows_again():
    rows = {"completion_ids": torch.arange(12).reshape(6, 2), "advantages": torch.arange(6.0)}
    grouped = {name: by_group(column, 3) for name, column in rows.items()}
    assert grouped["completion_ids"].shape == (2, 3, 2)
    again = by_row(grouped)
    assert all((again[name] == column).all() for name, column in rows.items())
