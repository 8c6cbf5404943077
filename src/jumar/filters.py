"""Which responses are trained on. What is filtered out is sampled again, if the recipe allows."""

from typing import Literal

import torch
from torch import Tensor

from jumar.ops.draws import row_uniform
from jumar.ops.group import group_rank, group_size, group_sum
from jumar.types import RolloutBatch

Kept = Literal["best_worst", "best_random", "best"]


def keep_all(rollout: RolloutBatch) -> Tensor:
    """[B] bool: every row."""
    return torch.ones_like(rollout.truncated)


def keep_correct(rollout: RolloutBatch) -> Tensor:
    """[B] bool: the task's full mark."""
    return rollout.correct


def extremes(rollout: RolloutBatch, *, kept: Kept) -> Tensor:
    """[B] bool: one or two rows of each group; equal rewards are drawn, anew at each step."""
    draw = row_uniform(rollout.seed, rollout.step, rollout.prompt_ids, rollout.sample_ids)
    ids, last = rollout.group_ids, group_size(rollout.group_ids) - 1
    rank = group_rank(rollout.rewards, ids, ties=draw)
    best = rank == last
    if kept == "best":
        return best
    other = rank if kept == "best_worst" else group_rank(draw.masked_fill(best, torch.inf), ids)
    return best | (other == 0)


def mixed_outcomes(rollout: RolloutBatch) -> Tensor:
    """[B] bool: groups with right and wrong responses; a group of one, which cannot have both."""
    size = group_size(rollout.group_ids)
    right = group_sum(rollout.correct.long(), rollout.group_ids)
    return ((right > 0) & (right < size)) | (size == 1)
