"""No advantage: for losses that look at rewards, pairs or a teacher instead."""

import torch

from jumar.types import RolloutBatch, Signals, State


def no_advantage(rollout: RolloutBatch, state: State) -> tuple[Signals, State]:
    """[B]: zeros."""
    return Signals(advantages=torch.zeros_like(rollout.rewards)), state
