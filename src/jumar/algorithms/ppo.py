"""PPO: a critic predicts the return from every token; what exceeds its prediction is the advantage.

    d_t = reward_t + gamma V_{t+1} - V_t             A_t = d_t + gamma lam A_{t+1}, then whitened
    L   = clipped surrogate(A) + value_coef * max((V - G)^2, (clip(V, V_old +- value_clip) - G)^2) - entropy_coef * H(pi)
    reward_t = [t is the last token] R - kl_coef * (log pi_old - log pi_ref)           G_t = A_t + V_t, with critic_lam

Paper: Schulman et al. 2017, Proximal Policy Optimization Algorithms, arXiv:1707.06347.   Code: https://github.com/openai/baselines, baselines/ppo2/model.py.
Departs: gamma = lam = 1, as for language models (the paper: 0.99 and 0.95 on control tasks), and an optional KL inside the reward. The value clip and the whitening are the code's, not the paper's; we whiten over the rollout, the code over a minibatch. value_coef = 0.5 is verl's (the code's comes to 0.25). A lambda of its own for the critic's returns (critic_lam) is of later work, see `vapo`; the entropy bonus is the paper's, and off (entropy_coef = 0.0).   Elsewhere: verl's estimator `gae` with its `vanilla` loss (dual clip 3, value clip 0.5); TRL 1.16 has no PPO.   Changes: value_loss.
"""

import torch
from torch import Tensor

from jumar.advantages.gae import generalised_advantage
from jumar.algorithm import Algorithm, Penalty
from jumar.ops.divergence import Divergence
from jumar.penalties.kl import requested_divergence
from jumar.pieces import piece, reads
from jumar.rewards import kl_in_reward, verifier_reward
from jumar.schedules import Schedule
from jumar.surrogates.clipped import clipped_surrogate
from jumar.types import TokenBatch


@reads("values", "old_values", "returns")
def clipped_value_loss(tokens: TokenBatch, *, clip: float, coef: float) -> Tensor:
    """[B, T]: coef times the worse of the plain and the clipped squared error."""
    near = tokens.old_values + (tokens.values - tokens.old_values).clamp(-clip, clip)
    errors = (tokens.values - tokens.returns).square(), (near - tokens.returns).square()
    return coef * torch.maximum(*errors)


def ppo(
    *,
    clip_low: float = 0.2,
    clip_high: float = 0.2,
    gamma: float = 1.0,
    lam: float = 1.0,
    critic_lam: float | None = None,
    kl_coef: float = 0.0,
    value_clip: float = 0.2,
    value_coef: float = 0.5,
    entropy_coef: float | Schedule = 0.0,
) -> Algorithm:
    """kl_coef = 0 leaves the reference out altogether; critic_lam None is lam."""
    entropy = Penalty(
        name="negative_entropy",
        coef=entropy_coef,
        piece=piece(requested_divergence, divergence=Divergence(kind="entropy"), sign=-1.0),
    )
    return Algorithm(
        name="ppo",
        reward=piece(kl_in_reward, kl_coef=kl_coef) if kl_coef else piece(verifier_reward),
        advantage=piece(generalised_advantage, gamma=gamma, lam=lam, critic_lam=critic_lam),
        surrogate=piece(clipped_surrogate, clip_low=clip_low, clip_high=clip_high),
        penalties=(entropy,) if entropy_coef else (),
        value_loss=piece(clipped_value_loss, clip=value_clip, coef=value_coef),
    )
