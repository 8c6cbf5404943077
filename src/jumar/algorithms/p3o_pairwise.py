"""P3O-pairwise: Pairwise Proximal Policy Optimization; only the difference of two responses' rewards moves the policy.

    rho_i = pi(y_i) / pi_old(y_i), whole responses              D = R_i - R_j > 0, for all pairs of a group
    "separate"  -1/2 [sg(rho_j) min(rho_i D, clip(rho_i) D) + sg(rho_i) min(-rho_j D, -clip(rho_j) D)]
    "joint"     -1/2 sg(rho_j)^2 min(u D, clip(u) D),  u = rho_i / rho_j           clip: 1 - clip_low to 1 + clip_high
    L = mean over groups of the mean over pairs               R_i = verdict - kl_coef * sum_t (log pi_old - log pi_ref)

Without clips both have the gradient of D rho_i rho_j log(pi_i / pi_j) / 2, so any constant per prompt
may be added to the reward; on new responses that is `rloo`.

Paper: Wu et al. 2023, Pairwise Proximal Policy Optimization: Harnessing Relative Feedback for LLM Alignment, arXiv:2310.00212.   Code: none released that we know of.
Departs: the gradient with its importance weights is the paper's, and so are the names of two ways to clip it, of each ratio or of the two together (V1 and V2); their equations are not public to us, and the ones above are ours, made to have that gradient where nothing is clipped. Groups may be larger than pairs. R is the verdict, the paper has a learned reward; clip_low = clip_high = 0.2 and kl_coef = 0.05 are ours.   Elsewhere: absent from TRL and verl. Two other methods are called P3O.   Changes: preference.   Also called: p3o.
"""

from typing import Literal

import torch
from torch import Tensor

from jumar.aggregates import group_mean
from jumar.algorithm import Algorithm
from jumar.ops.group import group_size
from jumar.ops.masked import response_sum
from jumar.ops.ratio import MAX_LOG_RATIO
from jumar.pieces import piece, promises, reads
from jumar.rewards import kl_in_reward, verifier_reward
from jumar.types import TokenBatch

Clipping = Literal["separate", "joint"]


@promises("per_response")
@reads("old_logprobs")
def pairwise_surrogate(
    tokens: TokenBatch, *, clipping: Clipping, clip_low: float, clip_high: float
) -> Tensor:
    """[B]: the row's share of the mean over pairs of its group."""
    moved = response_sum(tokens.logprobs - tokens.old_logprobs, tokens.mask)
    ratio = moved.clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO).exp()
    gap = tokens.rewards[:, None] - tokens.rewards[None, :]
    gap = gap * (tokens.group_ids[:, None] == tokens.group_ids[None, :])
    if clipping == "separate":
        near = ratio.clamp(1 - clip_low, 1 + clip_high)
        gain = torch.minimum(ratio[:, None] * gap, near[:, None] * gap) * ratio.detach()[None, :]
    else:
        gap = gap.clamp(min=0)  # a pair belongs to its better row
        lead = (moved[:, None] - moved[None, :]).clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO).exp()
        near = lead.clamp(1 - clip_low, 1 + clip_high)
        gain = torch.minimum(lead, near) * gap * ratio.detach().square()[None, :]
    size = group_size(tokens.group_ids)
    return -gain.sum(dim=1) / (size * (size - 1).clamp(min=1))


def p3o_pairwise(
    *,
    clipping: Clipping = "separate",
    clip_low: float = 0.2,
    clip_high: float = 0.2,
    kl_coef: float = 0.05,
) -> Algorithm:
    """kl_coef = 0 leaves the reference out altogether."""
    return Algorithm(
        name="p3o_pairwise",
        reward=piece(kl_in_reward, kl_coef=kl_coef) if kl_coef else piece(verifier_reward),
        surrogate=piece(
            pairwise_surrogate, clipping=clipping, clip_low=clip_low, clip_high=clip_high
        ),
        aggregate=piece(group_mean),
        unit="group",
    )
