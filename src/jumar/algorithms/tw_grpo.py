"""TW-GRPO: GRPO whose tokens count more at positions where the responses of a group part ways.

    d_itv = mean_g log p_t(v) - log p_it(v)          k_t = mean_g sum_v (exp(d_itv) - d_itv - 1)           v: the whole vocabulary
    w_t   = 1 + (alpha - 1) * (k_t - min k) / (max k - min k + 1e-8)                                     over the group's positions
    L     = 1/tokens * sum_i sum_t sg(w_t) * clipped surrogate of GRPO

Beginnings that all responses have in common, "let me think", say nothing about their quality.

Paper: Dang et al. 2025, Reinforcing Video Reasoning with Focused Thinking, arXiv:2505.24718.   Code: https://github.com/longmalongma/TW-GRPO, src/open_r1/trainer/grpo_trainer.py.
Departs: the distributions are those of the policy that sampled, computed once per rollout; the released code takes the current ones, and lets a gradient through the weight, which we do not. A response that has ended counts as uniform, and d stays within 11 nats, as there; positions that no response of the group has are left out of the minimum. alpha = 1.7 is the paper's, the code's default is 1.4. The clips are those of our `grpo`, eps = 1e-4 the code's. Its reward for questions with several right choices is the task's affair.   Elsewhere: absent from TRL and verl.   Changes: token_weight.
"""

from dataclasses import replace

import torch
from torch import Tensor

from jumar.aggregates import token_mean
from jumar.algorithm import Algorithm
from jumar.algorithms.grpo import grpo
from jumar.ops.group import group_min
from jumar.pieces import Piece, makes, piece, reads
from jumar.types import RolloutBatch, Signals, State, TokenBatch


@makes("position_weights")
@reads("position_spread")
def with_position_weights(
    rollout: RolloutBatch, state: State, *, advantage: Piece, alpha: float
) -> tuple[Signals, State]:
    """Adds `position_weights` [B, T], between 1 and alpha; the same for all rows of a group."""
    signals, state = advantage(rollout, state)
    spread, ids = rollout.position_spread, rollout.group_ids
    # a group's longest row has all of its positions
    least = group_min(spread.masked_fill(~rollout.mask, torch.inf).amin(dim=1), ids)
    most = -group_min((-spread.masked_fill(~rollout.mask, -torch.inf)).amin(dim=1), ids)
    scaled = (spread - least[:, None]) / (most - least + 1e-8)[:, None]
    weights = (1 + (alpha - 1) * scaled).masked_fill(~rollout.mask, 0)
    return replace(signals, columns={**signals.columns, "position_weights": weights}), state


@reads("position_weights")
def position_weight(tokens: TokenBatch) -> Tensor:
    """[B, T]: what the advantage found for each position."""
    return tokens.position_weights


def tw_grpo(
    *, alpha: float = 1.7, clip_low: float = 0.2, clip_high: float = 0.2, eps: float = 1e-4
) -> Algorithm:
    """The weight alpha is that of the position at which a group differs most; at 1 all count the same."""
    plain = grpo(clip_low=clip_low, clip_high=clip_high, kl_coef=0.0, eps=eps)
    return replace(
        plain,
        name="tw_grpo",
        advantage=piece(with_position_weights, advantage=plain.advantage, alpha=alpha),
        token_weight=piece(position_weight),
        aggregate=piece(token_mean),
    )
