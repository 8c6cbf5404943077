"""PPO: a critic predicts the return from every token; what exceeds its prediction is the advantage.

    d_t = reward_t + gamma V_{t+1} - V_t             A_t = d_t + gamma lam A_{t+1}, then whitened
    L   = clipped surrogate(A) + value_coef * max((V - G)^2, (clip(V, V_old +- value_clip) - G)^2)
    reward_t = [t is the last token] R - kl_coef * (log pi_old - log pi_ref)           G_t = A_t + V_t

Paper: Schulman et al. 2017, Proximal Policy Optimization Algorithms, arXiv:1707.06347.   Code: https://github.com/openai/baselines, baselines/ppo2/model.py.
Departs: gamma = lam = 1, as for language models (the paper: 0.99 and 0.95 on control tasks), and an optional KL inside the reward. The value clip and the whitening are the code's, not the paper's; we whiten over the rollout, the code over a minibatch. value_coef = 0.5 is verl's (the code's comes to 0.25); no entropy bonus.   Elsewhere: verl's estimator `gae` with its `vanilla` loss (dual clip 3, value clip 0.5); TRL 1.16 has no PPO.
"""

import torch
from torch import Tensor

from jumar.algorithm import Algorithm
from jumar.ops.masked import at_last_token, whitened
from jumar.pieces import makes, piece, reads
from jumar.rewards import verifier_reward
from jumar.surrogates.clipped import clipped_surrogate
from jumar.types import RolloutBatch, Signals, State, TokenBatch


@reads("old_logprobs", "ref_logprobs")
def kl_in_reward(rollout: RolloutBatch, *, kl_coef: float) -> Tensor:
    """[B, T]: minus the KL at each token, and the verdict at the last."""
    kl = rollout.old_logprobs - rollout.ref_logprobs
    return at_last_token(rollout.rewards, rollout.mask) - kl_coef * kl


@makes("returns")
@reads("old_values")
def generalised_advantage(
    rollout: RolloutBatch, state: State, *, gamma: float, lam: float
) -> tuple[Signals, State]:
    """[B, T]: whitened GAE. Masked positions hand on what comes after them unchanged."""
    rewards, values, mask = rollout.token_rewards, rollout.old_values, rollout.mask
    next_value = next_advantage = torch.zeros_like(rollout.rewards)
    advantages = torch.zeros_like(values)
    for t in reversed(range(mask.shape[1])):
        delta = rewards[:, t] + gamma * next_value - values[:, t]
        advantage = delta + gamma * lam * next_advantage
        next_value = torch.where(mask[:, t], values[:, t], next_value)
        next_advantage = torch.where(mask[:, t], advantage, next_advantage)
        advantages[:, t] = advantage * mask[:, t]
    columns = {"returns": advantages + values}
    return Signals(advantages=whitened(advantages, mask), columns=columns), state


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
    kl_coef: float = 0.0,
    value_clip: float = 0.2,
    value_coef: float = 0.5,
) -> Algorithm:
    """kl_coef = 0 leaves the reference out altogether."""
    return Algorithm(
        name="ppo",
        reward=piece(kl_in_reward, kl_coef=kl_coef) if kl_coef else piece(verifier_reward),
        advantage=piece(generalised_advantage, gamma=gamma, lam=lam),
        surrogate=piece(clipped_surrogate, clip_low=clip_low, clip_high=clip_high),
        value_loss=piece(clipped_value_loss, clip=value_clip, coef=value_coef),
    )
