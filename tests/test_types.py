import pickle

import pytest
import torch
from torch import Tensor

from jumar.errors import MissingColumnError, ShapeError
from jumar.types import COLUMNS, CORE_COLUMNS, LossScale, RolloutBatch, TokenBatch, sum_metrics

MASK = torch.tensor([[True, True, False], [True, False, False]])


def batch(**columns: Tensor) -> RolloutBatch:
    return RolloutBatch.build(mask=MASK, **columns, step=4, stage_step=1, seed=9)


def test_the_door_fills_masked_positions_with_0() -> None:
    logprobs = torch.tensor([[-1.0, -2.0, torch.nan], [-3.0, torch.inf, -torch.inf]])
    assert batch(logprobs=logprobs).logprobs.tolist() == [[-1, -2, 0], [-3, 0, 0]]


def test_the_door_keeps_gradients_of_tokens_and_stops_those_of_padding() -> None:
    logprobs = torch.tensor([[-1.0, -2.0, torch.nan], [-3.0, -1.0, -1.0]], requires_grad=True)
    batch(logprobs=logprobs).logprobs.square().sum().backward()
    assert logprobs.grad is not None
    assert logprobs.grad.tolist() == [[-2, -4, 0], [-6, 0, 0]]


@pytest.mark.parametrize(
    ("column", "shape", "says"),
    [
        ("rewards", (2, 3), "column `rewards` has shape [2, 3], but this batch needs [2] (one per"),
        ("logprobs", (2,), "column `logprobs` has shape [2], but this batch needs [2, 3] (resp"),
        ("logprobs", (2, 4), "`logprobs` has shape [2, 4]"),
        ("mine", (3,), "`mine` has shape [3], but this batch needs [2]"),
        ("mine", (3, 2), "`mine` has shape [3, 2], but this batch needs [2, 3]"),
    ],
)
def test_a_column_of_another_shape_is_refused(
    column: str, shape: tuple[int, ...], says: str
) -> None:
    with pytest.raises(ShapeError) as caught:
        batch(**{column: torch.zeros(shape)})
    assert says in str(caught.value)
    with pytest.raises(ShapeError):
        batch().with_columns(**{column: torch.zeros(shape)})


@pytest.mark.parametrize("mask", [MASK.long(), MASK.float(), MASK[0]])
def test_a_mask_that_is_not_bool_by_rows_and_tokens_is_refused(mask: Tensor) -> None:
    with pytest.raises(ShapeError, match=r"Pass `mask.bool\(\)`"):
        RolloutBatch.build(mask=mask)


def test_a_column_is_an_attribute_and_an_item() -> None:
    rows = batch(rewards=torch.tensor([1.0, 2.0]))
    assert rows.rewards is rows["rewards"]
    assert "rewards" in rows
    assert "scores" not in rows
    assert len(rows) == 2


def test_an_absent_column_is_named_with_what_to_declare() -> None:
    with pytest.raises(MissingColumnError) as caught:
        _ = batch().ref_logprobs
    message = str(caught.value)
    assert "column `ref_logprobs` (nats, the anchor) is not in this batch" in message
    assert "@reads('ref_logprobs')" in message
    assert isinstance(caught.value, KeyError)


def test_rows_are_selected_by_index_and_by_mask() -> None:
    rows = batch(rewards=torch.tensor([1.0, 2.0]))
    assert rows.select(torch.tensor([1, 0])).rewards.tolist() == [2, 1]
    kept = rows.select(torch.tensor([False, True]))
    assert (kept.rewards.tolist(), kept.step, kept.seed) == ([2], 4, 9)
    assert type(kept) is RolloutBatch


def test_batches_are_joined_at_the_longest_padding() -> None:
    one = batch(rewards=torch.ones(2), logprobs=-torch.ones(2, 3))
    other = RolloutBatch.build(mask=torch.ones(1, 5, dtype=torch.bool), rewards=torch.zeros(1))
    joined = RolloutBatch.concat([one, other])
    assert joined.mask.shape == (3, 5)
    assert joined.mask[:2, 3:].any() == False  # noqa: E712
    assert joined.rewards.tolist() == [1, 1, 0]
    assert "logprobs" not in joined
    assert joined.step == 4


def test_a_batch_survives_pickling() -> None:
    rows = batch(rewards=torch.ones(2))
    twin = pickle.loads(pickle.dumps(rows))
    assert torch.equal(twin.rewards, rows.rewards)
    assert (twin.step, twin.stage_step, twin.seed) == (4, 1, 9)


def test_the_scale_counts_what_is_alive() -> None:
    mask = torch.cat([MASK, torch.zeros(2, 3, dtype=torch.bool)])
    tokens = TokenBatch.build(mask=mask, group_ids=torch.tensor([7, 7, 7, 8]), step=2)
    scale = LossScale.of(tokens)
    assert (int(scale.tokens), int(scale.responses), int(scale.groups)) == (3, 2, 1)
    assert scale.step == 2


def test_metrics_add_up_by_name() -> None:
    one = {"a": (torch.tensor(1.0), torch.tensor(2)), "b": (torch.tensor(5.0), torch.tensor(1))}
    two = {"a": (torch.tensor(3.0), torch.tensor(4))}
    total = sum_metrics([one, two])
    assert [float(x) for x in total["a"]] == [4, 6]
    assert [float(x) for x in total["b"]] == [5, 1]


def test_the_table_of_columns_says_shape_and_meaning_of_each() -> None:
    assert set(CORE_COLUMNS) <= set(COLUMNS)
    assert all(c.shape in ("B", "BT", "BK") and c.meaning for c in COLUMNS.values())


def test_parts_of_a_reward_are_by_row_and_keep_their_own_width() -> None:
    mask = torch.tensor([[True, False, False]] * 2)
    one = RolloutBatch.build(mask=mask, reward_parts=torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
    assert one.reward_parts.tolist() == [[1, 2], [3, 4]], "parts are not tokens: none is masked"
    other = RolloutBatch.build(mask=mask[:1, :1], reward_parts=torch.tensor([[5.0]]))
    joined = RolloutBatch.concat([one, other]).reward_parts
    assert joined[:2].tolist() == [[1, 2], [3, 4]]
    assert joined[2, 0] == 5
    assert joined[2, 1].isnan()
    with pytest.raises(ShapeError, match="reward_parts"):
        RolloutBatch.build(mask=mask, reward_parts=torch.ones(3, 2))
