"""A loss per response under a weight of the whole response."""

from torch import Tensor

from jumar.ops.masked import response_mean
from jumar.pieces import Piece
from jumar.types import TokenBatch


def weighted_responses(tokens: TokenBatch, *, surrogate: Piece, weight: Piece) -> Tensor:
    """[B]: each response's loss times its weight, which is the same for each of its tokens."""
    losses: Tensor = surrogate(tokens)
    return losses * response_mean(weight(tokens), tokens.mask).detach()
