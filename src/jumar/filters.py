"""Which responses are trained on. What is filtered out is sampled again, if the recipe allows."""

import torch
from torch import Tensor

from jumar.types import RolloutBatch


def keep_all(rollout: RolloutBatch) -> Tensor:
    """[B] bool: every row."""
    return torch.ones_like(rollout.truncated)


def keep_correct(rollout: RolloutBatch) -> Tensor:
    """[B] bool: the task's full mark."""
    return rollout.correct
