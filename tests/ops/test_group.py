import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from jumar.ops.group import (
    group_centred,
    group_mean,
    group_min,
    group_rank,
    group_size,
    group_std,
    group_sum,
)

IDS = torch.tensor([5, -2, 5, 9, 5])  # any labels, any order: {1, 2, 6}, {7}, {4}
X = torch.tensor([1.0, 7.0, 2.0, 4.0, 6.0])


def test_statistics_by_hand() -> None:
    assert group_size(IDS).tolist() == [3, 1, 3, 1, 3]
    assert group_sum(X, IDS).tolist() == [9, 7, 9, 4, 9]
    assert group_mean(X, IDS).tolist() == [3, 7, 3, 4, 3]
    assert group_min(X, IDS).tolist() == [1, 7, 1, 4, 1]
    assert group_centred(X, IDS).tolist() == [-2, 0, -1, 0, 3]
    # squares 4 + 1 + 9 = 14, over n - 1 = 2 it is 7, of which the root is 2.645751
    torch.testing.assert_close(
        group_std(X, IDS), torch.tensor([2.645751, 0, 2.645751, 0, 2.645751])
    )


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@given(
    value=st.one_of(st.sampled_from([0.1, 1 / 3, 1e-8, 1e8, -0.7]), st.floats(-1e6, 1e6)),
    size=st.integers(1, 17),
)
def test_a_tied_group_is_centred_to_exactly_0(dtype: torch.dtype, value: float, size: int) -> None:
    x = torch.full((size + 1,), value, dtype=dtype)
    ids = torch.tensor([0] * size + [1])
    assert not group_centred(x, ids).any()
    assert not group_std(x, ids).any()


def test_ranks_start_anew_in_each_group_and_ties_share_one_unless_told_apart() -> None:
    x, ids = torch.tensor([3.0, 1.0, 3.0, 2.0, 0.0]), torch.tensor([0, 0, 0, 1, 1])
    assert group_rank(x, ids).tolist() == [1, 0, 1, 1, 0]
    ties = torch.tensor([0.9, 0.5, 0.1, 0.5, 0.5])
    assert group_rank(x, ids, ties=ties).tolist() == [2, 0, 1, 1, 0]


def test_a_small_difference_on_a_large_number_survives_centring() -> None:
    x = torch.tensor([1e8, 1e8 + 1, 1e8 + 2], dtype=torch.float64)
    assert group_centred(x, torch.zeros(3, dtype=torch.long)).tolist() == [-1, 0, 1]


def test_the_gradient_of_centring_is_that_of_x_minus_mean() -> None:
    x = X.double().requires_grad_()
    (group_centred(x, IDS) * torch.tensor([1.0, 5.0, 0.0, 5.0, 0.0])).sum().backward()
    assert x.grad is not None
    # d/dx_j of x_0 - mean(x_0, x_2, x_4), and 0 for a group of one
    expected = torch.tensor([2 / 3, 0, -1 / 3, 0, -1 / 3], dtype=torch.float64)
    torch.testing.assert_close(x.grad, expected, rtol=0, atol=1e-12)


def test_the_rank_counts_the_smaller_ones_of_the_own_group() -> None:
    x = torch.tensor([3.0, 1.0, 2.0, 2.0, 0.0])
    assert group_rank(x, torch.tensor([0, 0, 0, 0, 1])).tolist() == [3, 0, 1, 1, 0]
