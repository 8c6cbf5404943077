import torch
from torch import Tensor

from jumar.ops.masked import (
    at_last_token,
    remaining_sum,
    response_mean,
    response_sum,
    spread,
    whitened,
)

MASK = torch.tensor([[True, False, True, False], [True, False, False, False], [False] * 4])
X = torch.tensor([[1.0, 50.0, 3.0, 50.0], [4.0, 50.0, 50.0, 50.0], [50.0] * 4])


def test_sums_and_means_see_only_what_the_mask_shows() -> None:
    assert response_sum(X, MASK).tolist() == [4.0, 4.0, 0.0]
    assert response_mean(X, MASK).tolist() == [2.0, 4.0, 0.0]  # 4/2, 4/1, and 0 for no token


def test_nan_behind_the_mask_does_not_leak_into_a_sum_or_its_gradient() -> None:
    x = X.masked_fill(~MASK, torch.nan).requires_grad_()
    response_mean(x, MASK).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [[0.5, 0, 0.5, 0], [1, 0, 0, 0], [0, 0, 0, 0]]


def test_what_remains_is_the_token_and_those_after_it() -> None:
    x = X.masked_fill(~MASK, torch.nan)
    # behind the mask the sum of what follows stands, which nobody reads
    assert remaining_sum(x, MASK).tolist() == [[4, 3, 3, 0], [4, 0, 0, 0], [0, 0, 0, 0]]


def test_spread_gives_a_number_to_each_token_of_its_response() -> None:
    rows = torch.tensor([2.0, 3.0, torch.nan])
    assert spread(rows, MASK).tolist() == [[2, 0, 2, 0], [3, 0, 0, 0], [0, 0, 0, 0]]
    assert torch.equal(spread(X, MASK), X.masked_fill(~MASK, 0))


def test_the_last_token_is_the_last_unmasked_one() -> None:
    rows = torch.tensor([2.0, 3.0, 4.0])
    assert at_last_token(rows, MASK).tolist() == [[0, 0, 2, 0], [3, 0, 0, 0], [0, 0, 0, 0]]


def test_whitening_by_hand() -> None:
    # values 1, 3, 4: mean 8/3, deviations -5/3, 1/3, 4/3; squares 25/9 + 1/9 + 16/9 = 42/9;
    # over n - 1 = 2 it is 7/3, of which the root is 1.527525
    white = whitened(X, MASK)
    expected = torch.tensor([[-1.091089, 0, 0.218218, 0], [0.872872, 0, 0, 0], [0, 0, 0, 0]])
    torch.testing.assert_close(white, expected, rtol=0, atol=1e-6)


def test_whitening_of_equal_numbers_or_of_one_is_0() -> None:
    def largest(x: Tensor, mask: Tensor) -> float:
        return float(whitened(x, mask).abs().max())

    assert largest(torch.full((3, 4), 0.1, dtype=torch.float64), MASK) < 1e-12
    assert largest(X, MASK & (X == 4)) == 0
    assert largest(X, torch.zeros_like(MASK)) == 0
