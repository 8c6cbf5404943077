"""Which responses are trained on. What is filtered out is sampled again, if the recipe allows."""

import torch
from torch import Tensor

from jumar.ops.group import group_size, group_sum
from jumar.types import RolloutBatch


def keep_all(rollout: RolloutBatch) -> Tensor:
    """[B] bool: every row."""
    return torch.ones_like(rollout.truncated)


def keep_correct(rollout: RolloutBatch) -> Tensor:
    """[B] bool: the task's full mark."""
    return rollout.correct


def mixed_outcomes(rollout: RolloutBatch) -> Tensor:
    """[B] bool: groups with right and wrong responses; a group of one, which cannot have both."""
    size = group_size(rollout.group_ids)
    right = group_sum(rollout.correct.long(), rollout.group_ids)
    return ((right > 0) & (right < size)) | (size == 1)
