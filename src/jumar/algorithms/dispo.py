"""DISPO: CISPO with one clip range for right responses and another for wrong ones.

    w_t = clip(r_t, ratio_min_right, ratio_max_right) where A > 0, clip(r_t, ratio_min_wrong, ratio_max_wrong) elsewhere
    L   = 1/tokens * sum_i sum_t -sg(w_t) * A_i * log pi(y_t)                                 A_i as in GRPO

Four bounds, four effects, by the paper: right and r > 1 explores, right and r < 1 sharpens, and both
may be limited; wrong must not be clipped tightly, or responses repeat (r > 1) or shrink (r < 1).

Paper: Karaman et al. 2026, DISPO: Enhancing Training Efficiency and Stability in Reinforcement Learning for Large Language Model Mathematical Reasoning, arXiv:2602.00983.   Code: none released that we know of.
Departs: we have the paper's abstract and others' accounts of it, not its text. So the four bounds are ours: those that one account ascribes to the paper, 1 - 0.2 and 1 + 10 for right, 1 - 1 and 1 + 100 for wrong. The sign of A says which response is right, as in that account. The unbiased std and eps = 1e-6 are verl's; no filter of groups, no length penalty.   Elsewhere: absent from TRL and verl; with both ranges alike it is `cispo`.   Changes: surrogate.
"""

import torch
from torch import Tensor

from jumar.advantages.group import group_normalised
from jumar.algorithm import Algorithm
from jumar.pieces import piece, promises, reads
from jumar.surrogates.clipped_weight import clipped_weight_surrogate
from jumar.types import TokenBatch


@promises("policy_gradient")
@reads("old_logprobs")
def verdict_clipped_surrogate(
    tokens: TokenBatch,
    *,
    ratio_min_right: float,
    ratio_max_right: float,
    ratio_min_wrong: float,
    ratio_max_wrong: float,
) -> Tensor:
    """[B, T]: CISPO's loss under the range that the sign of A chooses."""
    right = clipped_weight_surrogate(tokens, ratio_min=ratio_min_right, ratio_max=ratio_max_right)
    wrong = clipped_weight_surrogate(tokens, ratio_min=ratio_min_wrong, ratio_max=ratio_max_wrong)
    return torch.where(tokens.advantages > 0, right, wrong)


def dispo(
    *,
    ratio_min_right: float = 0.8,
    ratio_max_right: float = 11.0,
    ratio_min_wrong: float = 0.0,
    ratio_max_wrong: float = 101.0,
    eps: float = 1e-6,
) -> Algorithm:
    """Bounds are absolute ratios, as CISPO's; the paper writes offsets from 1."""
    return Algorithm(
        name="dispo",
        advantage=piece(group_normalised, eps=eps),
        surrogate=piece(
            verdict_clipped_surrogate,
            ratio_min_right=ratio_min_right,
            ratio_max_right=ratio_max_right,
            ratio_min_wrong=ratio_min_wrong,
            ratio_max_wrong=ratio_max_wrong,
        ),
    )
