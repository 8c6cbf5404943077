"""What is learned from: the verifier's verdict, shaped where a method asks for it."""

from torch import Tensor

from jumar.types import RolloutBatch


def verifier_reward(rollout: RolloutBatch) -> Tensor:
    """[B]: the reward as it came."""
    return rollout.rewards
