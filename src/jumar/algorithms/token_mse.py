"""Token MSE: use the probability of each token as a critic of the outcome, and so drive the policy to extremes.

    L = 1/tokens * sum_i sum_t w_i (pi(y_t) - R_i)^2             R_i = 1 if correct, else 0; w_i = 1 or negative_weight

The slope in log pi is -2 pi (1 - pi) where R = 1 and 2 pi^2 where R = 0. So at tokens that the policy
is sure of, wrong responses push harder than right ones, and a fit to a fixed batch first unlearns
right responses before it recovers them. ERPD makes its weak teachers this way.

Paper: Chen et al. 2026, Extreme Region Policy Distillation, arXiv:2605.25582, eq. 10.   Code: none released that we found.
Departs: the mean over tokens rather than within responses first is ours, the paper's sums are not in our copy. negative_weight, the paper's weight of wrong responses relative to right ones for stronger unlearning, is 1 (plain eq. 10).   Elsewhere: absent from TRL and verl.   Changes: regression.   Also called: mse.
"""

import torch
from torch import Tensor

from jumar.algorithm import Algorithm
from jumar.pieces import piece
from jumar.types import TokenBatch


def squared_probability_error(tokens: TokenBatch, *, negative_weight: float) -> Tensor:
    """[B, T]: distance of the token's probability from the verdict, squared and weighed."""
    right = tokens.correct[:, None]
    probability = tokens.logprobs.exp()
    return torch.where(right, (1 - probability).square(), negative_weight * probability.square())


def token_mse(*, negative_weight: float = 1.0) -> Algorithm:
    """Without clip and without KL: meant for a fixed batch, as a teacher that is distilled after."""
    return Algorithm(
        name="token_mse",
        surrogate=piece(squared_probability_error, negative_weight=negative_weight),
    )
