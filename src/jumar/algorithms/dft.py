"""DFT: supervised fine-tuning in which a token counts by how likely the policy finds it already.

    L = -1/tokens * sum_i sum_t sg(pi(y_t)) * log pi(y_t)

SFT's gradient is a policy gradient whose reward is 1 / pi(y_t): huge where the data are strange. The
weight takes that away, and what is left is the expected reward of sampling the given token.

Paper: Wu et al. 2025, On the Generalization of SFT: A Reinforcement Learning Perspective with Reward Rectification, arXiv:2508.05629.   Code: https://github.com/yongliang-wu/DFT.
Departs: nothing.   Elsewhere: TRL's SFTTrainer with loss_type="dft"; absent from verl. One-Token Rollout (arXiv:2509.26313) samples tokens at each position and rewards the given one by 1, others by beta: at temperature 1 its expected gradient is 1 - beta times this one.   Changes: likelihood.
"""

from torch import Tensor

from jumar.algorithm import Algorithm
from jumar.pieces import piece
from jumar.surrogates.likelihood import negative_log_likelihood
from jumar.types import TokenBatch


def own_probability(tokens: TokenBatch) -> Tensor:
    """[B, T]: pi(y_t)."""
    return tokens.logprobs.detach().clamp(max=0).exp()


def dft() -> Algorithm:
    """For tasks whose rows bring a `response`, or a stored rollout."""
    return Algorithm(
        name="dft",
        surrogate=piece(negative_log_likelihood),
        token_weight=piece(own_probability),
        rows="stored",
    )
