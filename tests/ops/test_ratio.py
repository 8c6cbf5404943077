import math

import torch

from jumar.ops.ratio import MAX_LOG_RATIO, log_ratio, ratio
from jumar.types import TokenBatch


def tokens(difference: list[float]) -> TokenBatch:
    logprobs = torch.tensor([difference])
    mask = torch.ones_like(logprobs, dtype=torch.bool)
    return TokenBatch.build(
        logprobs=logprobs, old_logprobs=torch.zeros(1, len(difference)), mask=mask
    )


def test_the_ratio_is_the_exponential_of_the_difference() -> None:
    torch.testing.assert_close(
        ratio(tokens([0.0, math.log(2), -math.log(4)])), torch.tensor([[1, 2, 0.25]])
    )


def test_a_log_ratio_of_ten_thousand_nats_is_clamped() -> None:
    assert log_ratio(tokens([1e4, -1e4])).tolist() == [[MAX_LOG_RATIO, -MAX_LOG_RATIO]]
    assert torch.isfinite(ratio(tokens([1e4, -1e4]))).all()
