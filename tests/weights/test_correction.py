"""Hand-worked ratios of trainer to sampler, and what the bounds make of them."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from jumar.errors import MissingColumnError
from jumar.pieces import piece
from jumar.types import TokenBatch
from jumar.weights.correction import (
    masked_correction,
    product,
    sampler_ratio,
    truncated_correction,
)

LEVELS = ("token", "response", "geometric")
KINDS = (truncated_correction, masked_correction)
MASK = torch.tensor([[True, True, True], [True, False, True], [False, False, False]])
# trainer over sampler: 1, 4, 1/2; product 2, geometric mean 2^(1/3) = 1.259921
#                       1/4, -, 1/4; product 1/16, geometric mean 1/4
RATIOS = torch.tensor([[1.0, 4.0, 0.5], [0.25, 9.0, 0.25], [7.0, 7.0, 7.0]], dtype=torch.float64)


def batch(log_ratio: Tensor, old: Tensor | None = None, mask: Tensor = MASK) -> TokenBatch:
    old = torch.full_like(log_ratio, -1.5) if old is None else old
    return TokenBatch.build(mask=mask, old_logprobs=old, rollout_logprobs=old - log_ratio)


def near(found: Tensor, expected: list[list[float]]) -> None:
    alive = MASK[: len(found)]
    torch.testing.assert_close(
        found[alive], torch.tensor(expected, dtype=torch.float64)[alive], rtol=0, atol=1e-6
    )


@pytest.mark.parametrize(
    ("level", "truncated", "masked"),
    [
        ("token", [[1, 2, 0.5], [0.5, 0, 0.5]], [[1, 0, 0.5], [0, 0, 0]]),
        ("response", [[2, 2, 2], [0.5, 0, 0.5]], [[2, 2, 2], [0, 0, 0]]),
        ("geometric", [[1.259921] * 3, [0.5, 0, 0.5]], [[1.259921] * 3, [0, 0, 0]]),
    ],
)
def test_by_hand(level: str, truncated: list[list[float]], masked: list[list[float]]) -> None:
    bounds = {"level": level, "ratio_min": 0.5, "ratio_max": 2.0 + 1e-9}
    tokens = batch(RATIOS.log())
    none = [[0.0, 0.0, 0.0]]
    near(truncated_correction(tokens, **bounds), truncated + none)
    near(masked_correction(tokens, **bounds), masked + none)


def test_without_a_lower_bound_small_ratios_stay() -> None:
    for kind in KINDS:
        near(kind(batch(RATIOS.log()), level="response", ratio_min=0.0, ratio_max=3.0),
             [[2, 2, 2], [0.0625, 0, 0.0625], [0, 0, 0]])  # fmt: skip


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("level", LEVELS)
def test_where_sampler_and_trainer_agree_the_weight_is_exactly_1(
    level: str, kind: Callable[..., Tensor], dtype: torch.dtype
) -> None:
    g = torch.Generator().manual_seed(0)
    mask = torch.rand(6, 40, generator=g) < 0.8
    mask[0] = False
    same = (-5 * torch.rand(6, 40, generator=g)).to(dtype)
    for low, high in ((0.0, 1.0), (1.0, 1.0), (0.5, 2.0)):
        weight = kind(
            batch(torch.zeros_like(same), same, mask), level=level, ratio_min=low, ratio_max=high
        )
        assert weight.dtype == dtype
        assert (weight == 1).all()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("level", LEVELS)
def test_ten_thousand_nats_either_way_are_a_bound_or_nothing(
    level: str, dtype: torch.dtype
) -> None:
    extreme = torch.tensor([[1e4], [-1e4], [0.0]], dtype=dtype).expand(3, 3)
    tokens = batch(extreme, torch.zeros_like(extreme), mask=torch.ones(3, 3, dtype=torch.bool))
    bounds = {"level": level, "ratio_min": 0.5, "ratio_max": 2.0}
    assert truncated_correction(tokens, **bounds)[:, 0].tolist() == [2.0, 0.5, 1.0]
    assert masked_correction(tokens, **bounds)[:, 0].tolist() == [0.0, 0.0, 1.0]
    assert torch.isfinite(sampler_ratio(tokens, level)).all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("garbage", [math.nan, math.inf, -math.inf, 1e30])
def test_what_stands_at_masked_positions_changes_nothing(
    garbage: float, level: str, kind: Callable[..., Tensor]
) -> None:
    bounds = {"level": level, "ratio_min": 0.1, "ratio_max": 5.0}
    clean = kind(batch(RATIOS.log()), **bounds)
    dirty = kind(
        batch(
            RATIOS.log().masked_fill(~MASK, garbage),
            torch.zeros_like(RATIOS).masked_fill(~MASK, garbage),
        ),
        **bounds,
    )
    torch.testing.assert_close(clean[MASK], dirty[MASK], rtol=0, atol=1e-15)
    assert torch.isfinite(dirty).all()


def test_no_gradient_goes_through_a_correction() -> None:
    leaf = RATIOS.log().requires_grad_()
    tokens = TokenBatch.build(
        mask=MASK, old_logprobs=leaf, rollout_logprobs=torch.zeros(3, 3, dtype=torch.float64)
    )
    for kind in KINDS:
        assert not kind(tokens, level="geometric", ratio_min=0, ratio_max=2.0).requires_grad


def test_two_weights_multiply_and_read_what_both_read() -> None:
    correction = piece(truncated_correction, level="token", ratio_min=0.0, ratio_max=2.0)
    twice = piece(product, first=correction, second=correction)
    near(twice(batch(RATIOS.log())), [[1, 4, 0.25], [0.0625, 0, 0.0625], [0, 0, 0]])
    assert twice.reads == {"old_logprobs", "rollout_logprobs"}
    with pytest.raises(MissingColumnError, match="rollout_logprobs"):
        twice(TokenBatch.build(mask=MASK, old_logprobs=RATIOS))
