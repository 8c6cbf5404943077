"""Frozen models beside the policy: the reference, the teacher, the sides of a log-ratio."""

from pathlib import Path

import torch
from torch import nn

from jumar.engines.local.models import load_model
from jumar.engines.local.policy import LocalPolicy
from jumar.engines.settings import ModelSettings
from jumar.errors import ConfigurationError


def load_frozen(
    name: str | Path, role: str, policy: LocalPolicy, settings: ModelSettings
) -> nn.Module:
    """A model without gradient on the policy's device, asked about the policy's own tokens."""
    device: torch.device = next(policy.model.parameters()).device
    model, tokenizer = load_model(
        resolved_model(str(name)),
        dtype=settings.dtype,
        device=str(device),
        attention=settings.attention,
    )
    if tokenizer.get_vocab() != policy.tokenizer.get_vocab():
        raise ConfigurationError(
            f"The {role} {name} has another tokenizer than the policy, but it is asked for the "
            "log-probs of the policy's own tokens. The same ids would be other words to it. "
            f"Choose a {role} with the policy's tokenizer."
        )
    return model.requires_grad_(False)


def resolved_model(name: str) -> str:
    """A model directory from a run or checkpoint directory; any other name as it is."""
    for inside in ("final", "model"):
        if (Path(name) / inside / "config.json").is_file():
            return str(Path(name) / inside)
    return name
