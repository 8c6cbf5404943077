"""What is learned from: the verifier's verdict, shaped where a method asks for it."""

import torch
from torch import Tensor

from jumar.ops.group import group_size
from jumar.ops.masked import at_last_token
from jumar.pieces import reads
from jumar.types import RolloutBatch


def verifier_reward(rollout: RolloutBatch) -> Tensor:
    """[B]: the reward as it came."""
    return rollout.rewards


@reads("old_logprobs", "ref_logprobs")
def kl_in_reward(rollout: RolloutBatch, *, kl_coef: float) -> Tensor:
    """[B, T]: minus the KL at each token, and the verdict at the last."""
    kl = rollout.old_logprobs - rollout.ref_logprobs
    return at_last_token(rollout.rewards, rollout.mask) - kl_coef * kl


@reads("baseline_rewards")
def calibrated_reward(rollout: RolloutBatch) -> Tensor:
    """[B]: sigmoid(reward - baseline's) of a correct response, in (0, 1); 0 for one that is not."""
    better = torch.sigmoid(rollout.rewards - rollout.baseline_rewards)
    return better.masked_fill(~rollout.correct, 0)


def win_rate(rollout: RolloutBatch) -> Tensor:
    """[B]: the part of the others in its group that the response beats; 1/2 if there are none."""
    reward, ids = rollout.rewards, rollout.group_ids
    gap = (reward[:, None] - reward[None, :]).sign() * (ids[:, None] == ids[None, :])
    return 0.5 + gap.sum(dim=1) / (2 * (group_size(ids) - 1).clamp(min=1))
