"""SFT: supervised fine-tuning; raise the likelihood of given responses.

    L = -1/tokens * sum_i sum_t log pi(y_t)

Paper: Ouyang et al. 2022, Training language models to follow instructions, arXiv:2203.02155.   Code: none released.
Departs: nothing.   Elsewhere: TRL's SFTTrainer with completion_only_loss; verl's SFT trainer.
"""

from torch import Tensor

from jumar.algorithm import Algorithm
from jumar.pieces import piece
from jumar.types import TokenBatch


def negative_log_likelihood(tokens: TokenBatch) -> Tensor:
    """[B, T] nats."""
    return -tokens.logprobs


def sft() -> Algorithm:
    """For tasks whose rows bring a `response`; the prompt is never trained on."""
    return Algorithm(name="sft", surrogate=piece(negative_log_likelihood), rows="stored")
