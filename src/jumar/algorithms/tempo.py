"""TEMPO: where responses of a group part ways, the token that chose the better branch gets more.

    V(prefix) = mean of R over the group's responses that begin with it
    A_it      = (R_i - mean_g R + V(y_<=t) - V(y_<t)) / (std_g R + eps)      L = the clipped surrogate of A_it

The responses to one prompt are a tree of tokens as they stand, nothing more is sampled. A response
that has parted from all others has V = R_i, and from there on GRPO's advantage.

Paper: Tran et al. 2025, Exploiting Tree Structure for Credit Assignment in RL Training of LLMs, arXiv:2509.18314.   Code: https://github.com/fatebreaker/tempo, verl/trainer/ppo/core_algos.py and verl/trainer/config/ppo_trainer.yaml (0a1c273).
Departs: a response that has ended shares no further prefix, where the code compares its padding. A group of one has A = 0, where the code gives it R. The two clip ranges are the released script's, dual_clip = 3.0 and the mean over all tokens its configuration's, eps = 1e-6 its code's.   Elsewhere: absent from TRL and verl. TreePO samples trees on purpose, this reads off those that are there.   Changes: advantage.
"""

import torch
from torch import Tensor

from jumar.algorithm import Algorithm
from jumar.ops.group import group_centred, group_std
from jumar.ops.masked import spread
from jumar.pieces import piece, promises
from jumar.surrogates.clipped import clipped_surrogate
from jumar.types import RolloutBatch, Signals, State


@promises("group_centred")
def prefix_tree_advantage(
    rollout: RolloutBatch, state: State, *, eps: float
) -> tuple[Signals, State]:
    """[B, T]: GRPO's numerator plus the change of the prefix's value at the token, over GRPO's std."""
    mask = rollout.mask
    centred = group_centred(rollout.rewards, rollout.group_ids)
    change = torch.zeros_like(rollout.token_rewards)
    for group in torch.unique(rollout.group_ids):
        rows = (rollout.group_ids == group).nonzero()[:, 0]
        change[rows] = value_change(centred[rows], rollout.token_ids[rows], mask[rows])
    std = group_std(rollout.rewards, rollout.group_ids)[:, None]
    return Signals(advantages=spread((centred[:, None] + change) / (std + eps), mask)), state


def value_change(values: Tensor, token_ids: Tensor, mask: Tensor) -> Tensor:
    """[B, T] of one group: mean of `values` over rows with this prefix and token, less without it."""
    here = torch.where(mask, token_ids, -1)
    alike = here[:, None, :] == here[None, :, :]
    shared = torch.cat([torch.ones_like(alike[..., :1]), alike], dim=2).long().cumprod(dim=2)
    sums = torch.einsum("j,ijt->it", values, shared.to(values.dtype))
    return (sums / shared.sum(dim=1)).diff(dim=1)


def tempo(
    *,
    clip_low: float = 0.2,
    clip_high: float = 0.28,
    dual_clip: float | None = 3.0,
    eps: float = 1e-6,
) -> Algorithm:
    """Memory grows with the square of a group's size times its length."""
    return Algorithm(
        name="tempo",
        advantage=piece(prefix_tree_advantage, eps=eps),
        surrogate=piece(
            clipped_surrogate, clip_low=clip_low, clip_high=clip_high, dual_clip=dual_clip
        ),
    )
