"""What an algorithm keeps from one rollout to the next, beside TRL's checkpoint."""

from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from jumar.errors import DataError
from jumar.types import State

FILE, CLOCK = "jumar.safetensors", "rollouts of this run"


def write_state(checkpoint: Path, state: State, rollouts: int) -> None:
    """Save the algorithm's tensors and how many rollouts it has seen."""
    save_file({**state, CLOCK: torch.tensor(rollouts)}, checkpoint / FILE)


def read_state(checkpoint: Path) -> tuple[State, int]:
    """What `write_state` saved; DataError where another trainer wrote the checkpoint."""
    path = checkpoint / FILE
    if not path.is_file():
        raise DataError(
            f"The checkpoint {checkpoint} has no {FILE}, but JumarGRPOTrainer resumes the "
            "algorithm's state and its count of rollouts from there. Another trainer wrote it. "
            "Pass it as `model` instead of resuming from it."
        )
    state = load_file(path)
    return state, int(state.pop(CLOCK))
