"""From one loss per token or response to one number.

Every aggregate divides by counts of the whole optimiser step (`LossScale`), never by those of its
own micro-batch, so that micro-batches and ranks add up:

    token_mean          sum of token losses / tokens          long responses weigh more (DAPO)
    response_mean       mean over responses of token means    each response weighs the same (GRPO)
    response_sum        sum of token losses / responses       the plain policy gradient
    fixed_length_mean   response_sum / a constant length      Dr. GRPO
    group_mean          sum of row shares / groups            losses of whole groups (REBEL, DPO)

A loss per response, [B], takes response_mean, response_sum or group_mean.
"""

from collections.abc import Callable

from torch import Tensor

from jumar.errors import ShapeError
from jumar.ops.masked import response_mean as mean_over_tokens
from jumar.ops.masked import response_sum as sum_over_tokens
from jumar.types import LossScale, TokenBatch

Aggregate = Callable[[Tensor, TokenBatch, LossScale], Tensor]


def token_mean(loss: Tensor, tokens: TokenBatch, scale: LossScale) -> Tensor:
    """Scalar: the mean over all tokens of the step."""
    if loss.dim() == 1:
        raise ShapeError(
            "`token_mean` got a loss of shape [B], but it needs one per token, [B, T]. Dividing "
            "responses by a count of tokens has no meaning. Use response_mean or group_mean."
        )
    return sum_over_tokens(loss, tokens.mask).sum() / scale.tokens.clamp(min=1)


def response_mean(loss: Tensor, tokens: TokenBatch, scale: LossScale) -> Tensor:
    """Scalar: the mean over responses of the mean over their tokens."""
    rows = loss if loss.dim() == 1 else mean_over_tokens(loss, tokens.mask)
    return _alive(rows, tokens).sum() / scale.responses.clamp(min=1)


def response_sum(loss: Tensor, tokens: TokenBatch, scale: LossScale) -> Tensor:
    """Scalar: the mean over responses of the sum over their tokens."""
    rows = loss if loss.dim() == 1 else sum_over_tokens(loss, tokens.mask)
    return _alive(rows, tokens).sum() / scale.responses.clamp(min=1)


def fixed_length_mean(loss: Tensor, tokens: TokenBatch, scale: LossScale, *, length: int) -> Tensor:
    """Scalar: `response_sum` over a constant length in tokens, so that length carries no bias."""
    return response_sum(loss, tokens, scale) / length


def group_mean(loss: Tensor, tokens: TokenBatch, scale: LossScale) -> Tensor:
    """Scalar: the sum of each row's share of its group's loss, over the number of groups."""
    rows = loss if loss.dim() == 1 else sum_over_tokens(loss, tokens.mask)
    return _alive(rows, tokens).sum() / scale.groups.clamp(min=1)


def _alive(rows: Tensor, tokens: TokenBatch) -> Tensor:
    """[B]: a response without a token adds nothing, as `LossScale` does not count it."""
    return rows.masked_fill(~tokens.mask.any(dim=1), 0)
