"""Generalised advantages: how much better each token was than a critic expected."""

import torch
from torch import Tensor

from jumar.ops.masked import whitened
from jumar.pieces import makes, reads
from jumar.types import RolloutBatch, Signals, State


def discounted_errors(
    rollout: RolloutBatch, *, gamma: float, lam: float | Tensor, after: Tensor | None = None
) -> Tensor:
    """[B, T]: sums of one-step errors from each token on, a step further counting gamma lam less.

    `lam` is a number, or [B] for one per response. Masked positions hand on what comes after them
    unchanged. `after` [B] is the value of what follows the last token: 0, as at an end, where None.
    """
    rewards, values, mask = rollout.token_rewards, rollout.old_values, rollout.mask
    next_advantage = torch.zeros_like(rollout.rewards)
    next_value = next_advantage if after is None else after
    advantages = torch.zeros_like(values)
    for t in reversed(range(mask.shape[1])):
        delta = rewards[:, t] + gamma * next_value - values[:, t]
        advantage = delta + gamma * lam * next_advantage
        next_value = torch.where(mask[:, t], values[:, t], next_value)
        next_advantage = torch.where(mask[:, t], advantage, next_advantage)
        advantages[:, t] = advantage * mask[:, t]
    return advantages


@makes("returns")
@reads("old_values")
def generalised_advantage(
    rollout: RolloutBatch,
    state: State,
    *,
    gamma: float,
    lam: float | Tensor,
    critic_lam: float | None = None,
) -> tuple[Signals, State]:
    """[B, T]: whitened GAE; `returns` are made with `critic_lam`, with `lam` where it is None."""
    advantages = target = discounted_errors(rollout, gamma=gamma, lam=lam)
    if critic_lam is not None:
        target = discounted_errors(rollout, gamma=gamma, lam=critic_lam)
    columns = {"returns": target + rollout.old_values}
    return Signals(advantages=whitened(advantages, rollout.mask), columns=columns), state
