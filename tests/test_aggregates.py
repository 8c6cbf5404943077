"""Two groups, three responses of 2, 1 and 3 tokens, and one response without a token."""

import pytest
import torch
from torch import Tensor

from jumar.aggregates import (
    fixed_length_mean,
    group_mean,
    response_mean,
    response_sum,
    token_mean,
)
from jumar.errors import ShapeError
from jumar.pieces import Piece, piece
from jumar.types import LossScale, TokenBatch

LENGTHS = torch.tensor([2, 1, 3, 0])
MASK = torch.arange(3) < LENGTHS[:, None]
TOKENS = TokenBatch.build(mask=MASK, group_ids=torch.tensor([0, 0, 1, 1]))
LOSS = torch.tensor([[1.0, 3.0, 99.0], [5.0, 99.0, 99.0], [1.0, 2.0, 6.0], [99.0, 99.0, 99.0]])


@pytest.mark.parametrize(
    ("aggregate", "value"),
    [
        (piece(token_mean), 3.0),  # (1 + 3 + 5 + 1 + 2 + 6) / 6
        (piece(response_mean), 10 / 3),  # (2 + 5 + 3) / 3
        (piece(response_sum), 6.0),  # (4 + 5 + 9) / 3
        (piece(fixed_length_mean, length=10), 0.6),  # 6 / 10
        (piece(group_mean), 9.0),  # (4 + 5 + 9) / 2
    ],
    ids=str,
)
def test_by_hand(aggregate: Piece, value: float) -> None:
    assert float(aggregate(LOSS, TOKENS, LossScale.of(TOKENS))) == pytest.approx(value)


@pytest.mark.parametrize(
    ("aggregate", "value"),
    [(response_mean, 4.0), (response_sum, 4.0), (group_mean, 6.0)],  # 12 / 3, 12 / 3, 12 / 2
)
def test_a_loss_per_response_by_hand(aggregate: Piece, value: float) -> None:
    rows = torch.tensor([3.0, 4.0, 5.0, 99.0])
    assert float(aggregate(rows, TOKENS, LossScale.of(TOKENS))) == value


def test_a_loss_per_response_has_no_mean_over_tokens() -> None:
    with pytest.raises(ShapeError, match=r"Use response_mean or group_mean"):
        token_mean(torch.zeros(4), TOKENS, LossScale.of(TOKENS))


def test_each_divides_by_the_step_and_not_by_its_rows() -> None:
    scale = LossScale.of(TOKENS)
    for aggregate in (token_mean, response_mean, response_sum, group_mean):
        whole = aggregate(LOSS, TOKENS, scale)
        parts: list[Tensor] = [
            aggregate(LOSS[rows], TOKENS.select(rows), scale) for rows in torch.arange(4).split(1)
        ]
        torch.testing.assert_close(sum(parts), whole)


def test_nothing_at_all_is_0() -> None:
    empty = TokenBatch.build(mask=torch.zeros_like(MASK), group_ids=torch.zeros(4).long())
    for aggregate in (token_mean, response_mean, response_sum, group_mean):
        assert float(aggregate(LOSS, empty, LossScale.of(empty))) == 0
