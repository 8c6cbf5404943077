"""SFT: supervised fine-tuning; raise the likelihood of given responses.

    L = -1/tokens * sum_i sum_t log pi(y_t)

Paper: Ouyang et al. 2022, Training language models to follow instructions, arXiv:2203.02155.   Code: none released.
Departs: nothing; `only_correct` leaves out what the verifier rejected, as rejection sampling does.   Elsewhere: TRL's SFTTrainer with completion_only_loss; verl's SFT trainer.   Changes: likelihood.
"""

from jumar.algorithm import Algorithm
from jumar.filters import keep_all, keep_correct
from jumar.pieces import piece
from jumar.surrogates.likelihood import negative_log_likelihood


def sft(*, only_correct: bool = False) -> Algorithm:
    """For tasks whose rows bring a `response`, or a stored rollout; the prompt is never trained on."""
    return Algorithm(
        name="sft",
        surrogate=piece(negative_log_likelihood),
        keep=piece(keep_correct if only_correct else keep_all),
        rows="stored",
    )
