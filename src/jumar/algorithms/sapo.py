"""SAPO: a smooth gate in place of PPO's clip, so that tokens fade out of the update instead of dropping out.

    f(r) = 4 / tau * sigmoid(tau * (r - 1))          tau = tau_pos where A > 0, tau_neg elsewhere
    L    = mean_i mean_t -A_i f(r_t)                 f'(r) = sech(tau * (r - 1) / 2)^2, 1 at r = 1

Paper: Gao et al. 2025, Soft Adaptive Policy Optimization, arXiv:2511.20347.   Code: none released by the authors that we know of; https://github.com/huggingface/trl, trl/trainer/grpo_trainer.py.
Departs: nothing in the loss; the unbiased std and eps = 1e-6 of A are verl's. The value at r = 1 is -2 A / tau, so it cannot be compared with PPO's.   Elsewhere: TRL's loss type "sapo", whose temperatures are float32; verl's policy loss `sapo`, which takes the mean per response whatever loss_agg_mode says; AReaL and Trinity-RFT default to one mean over all tokens. Two other methods are called SAPO: one shares experience in a swarm, one is Self-Adaptive Process Optimization.   Changes: surrogate.
"""

import torch
from torch import Tensor

from jumar.advantages.group import group_normalised
from jumar.aggregates import response_mean
from jumar.algorithm import Algorithm
from jumar.ops.ratio import ratio
from jumar.pieces import piece, promises, reads
from jumar.types import TokenBatch


@promises("policy_gradient")
@reads("old_logprobs")
def gated_surrogate(tokens: TokenBatch, *, tau_pos: float, tau_neg: float) -> Tensor:
    """[B, T]: -A f(r); its slope is largest near r = 1 and fades on both sides of it."""
    r = ratio(tokens)
    gate = torch.where(tokens.advantages > 0, _gate(r, tau_pos), _gate(r, tau_neg))
    return -tokens.advantages * gate


def _gate(r: Tensor, tau: float) -> Tensor:
    return 4 / tau * torch.sigmoid(tau * (r - 1))


def sapo(*, tau_pos: float = 1.0, tau_neg: float = 1.05, eps: float = 1e-6) -> Algorithm:
    """A larger tau is a narrower gate: bad tokens fade sooner, since pushing one lifts all others."""
    return Algorithm(
        name="sapo",
        advantage=piece(group_normalised, eps=eps),
        surrogate=piece(gated_surrogate, tau_pos=tau_pos, tau_neg=tau_neg),
        aggregate=piece(response_mean),
    )
