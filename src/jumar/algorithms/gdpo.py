"""GDPO: several rewards, each compared within the group on its own, and only then added up.

    A_ik = (R_ik - mean_g R_k) / (std_g R_k + eps)                        for each part k of the reward
    S_i  = sum_k weight_k A_ik                     A_i = (S_i - mean_batch S) / (std_batch S + eps)
    combine = "sum_then_normalise": S_i = sum_k weight_k R_ik, A_i = (S_i - mean_g S) / (std_g S + eps)

Added first, (1, 0) and (0, 1) are one reward, and a part with small numbers goes unheard.

Paper: Liu et al. 2026, GDPO: Group reward-Decoupled Normalization Policy Optimization for Multi-reward RL Optimization, arXiv:2601.05242.   Code: https://github.com/NVlabs/GDPO, trl-GDPO/trl-0.18.0-gdpo/trl/trainer/grpo_trainer.py (b080e63).
Departs: the last normalisation is over responses, as in the authors' and TRL's, where verl's is over tokens. A part in which the verifier has no opinion adds nothing; the authors' counts it as 0. eps = 1e-4 is the authors'; the mean over all tokens and no KL are ours. The paper's gate, a part that counts only where another is met, is the verifier's affair.   Elsewhere: TRL's multi_objective_aggregation="normalize_then_sum", and "sum_then_normalize"; verl's advantage `gdpo`.   Changes: advantage.
"""

from typing import Literal

import torch
from torch import Tensor

from jumar.algorithm import Algorithm
from jumar.errors import ConfigurationError
from jumar.ops.group import group_centred, group_std
from jumar.pieces import piece, reads
from jumar.surrogates.clipped import clipped_surrogate
from jumar.types import RolloutBatch, Signals, State

Combine = Literal["normalise_then_sum", "sum_then_normalise"]


def group_standing(x: Tensor, group_ids: Tensor, eps: float) -> Tensor:
    """[B]: (x - mean of its group) / (unbiased std of its group + eps); 0 where x is NaN."""
    there = x.isfinite()
    known, groups = x[there], group_ids[there]
    standing = group_centred(known, groups) / (group_std(known, groups) + eps)
    return torch.zeros_like(x).masked_scatter(there, standing)


@reads("reward_parts")
def combined(
    rollout: RolloutBatch,
    state: State,
    *,
    weights: tuple[float, ...] | None,
    combine: Combine,
    eps: float,
) -> tuple[Signals, State]:
    """[B]: one standing from all parts of the reward."""
    parts, groups = rollout.reward_parts, rollout.group_ids
    weight = parts.new_ones(parts.shape[1]) if weights is None else parts.new_tensor(weights)
    if len(weight) != parts.shape[1]:
        raise ConfigurationError(
            f"`gdpo` was given {len(weight)} weights, but the verifier reports {parts.shape[1]} "
            "parts of the reward, and each needs one to be added up. Give one weight for each "
            "part, in the order of their names, or leave weights out."
        )
    if combine == "sum_then_normalise":
        total = (parts * weight).nansum(dim=1)
        return Signals(advantages=group_standing(total, groups, eps)), state
    each = [group_standing(part, groups, eps) for part in parts.unbind(dim=1)]
    total = torch.stack(each, dim=1) @ weight
    return Signals(advantages=group_standing(total, torch.zeros_like(groups), eps)), state


def gdpo(
    *,
    weights: tuple[float, ...] | None = None,
    combine: Combine = "normalise_then_sum",
    clip_low: float = 0.2,
    clip_high: float = 0.2,
    eps: float = 1e-4,
) -> Algorithm:
    """`weights` in the order of the parts' names, 1 each where None.

    The parts are those of a weighted verifier, or whatever else a verifier reports by name.
    """
    return Algorithm(
        name="gdpo",
        advantage=piece(combined, weights=weights, combine=combine, eps=eps),
        surrogate=piece(clipped_surrogate, clip_low=clip_low, clip_high=clip_high),
    )
