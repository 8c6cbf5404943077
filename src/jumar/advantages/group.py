"""Advantages from the other responses to the same prompt; tied rewards give exactly 0."""

from jumar.ops.group import group_centred, group_size, group_std
from jumar.pieces import promises
from jumar.types import RolloutBatch, Signals, State


@promises("group_centred")
def group_normalised(
    rollout: RolloutBatch, state: State, *, eps: float = 1e-6
) -> tuple[Signals, State]:
    """[B]: (reward - mean of its group) / (unbiased std of its group + eps)."""
    centred = group_centred(rollout.rewards, rollout.group_ids)
    return Signals(
        advantages=centred / (group_std(rollout.rewards, rollout.group_ids) + eps)
    ), state


@promises("group_centred")
def group_mean_baseline(rollout: RolloutBatch, state: State) -> tuple[Signals, State]:
    """[B]: reward - mean of its group."""
    return Signals(advantages=group_centred(rollout.rewards, rollout.group_ids)), state


@promises("group_centred")
def leave_one_out(rollout: RolloutBatch, state: State) -> tuple[Signals, State]:
    """[B]: reward - mean of the others in its group; 0 for a group of one, which has no others."""
    n = group_size(rollout.group_ids)
    centred = group_centred(rollout.rewards, rollout.group_ids)
    return Signals(advantages=centred * n / (n - 1).clamp(min=1)), state
