"""A teacher beside TRL's own models."""

from pathlib import Path
from typing import Any

import torch

from jumar.engines.local.models import load_model
from jumar.errors import ConfigurationError


def frozen_teacher(teacher: Any, policy: Any, tokenizer: Any, temperature: float) -> Any:
    """The model, loaded where it is a name, whole on the policy's device and without gradient.

    TRL's pass for log-probs asks it about the policy's own tokens.
    """
    from trl.trainer.utils import add_fused_lm_head

    device: torch.device = policy.device
    if isinstance(teacher, str | Path):
        dtype = str(policy.dtype).removeprefix("torch.")
        teacher, own = load_model(teacher, dtype=dtype, device=str(device))
        if own.get_vocab() != tokenizer.get_vocab():
            raise ConfigurationError(
                "The teacher has another tokenizer than the policy, but it is asked for the "
                "log-probs of the policy's own tokens. The same ids would be other words to it. "
                "Choose a teacher with the policy's tokenizer."
            )
    add_fused_lm_head(teacher, temperature=temperature)
    return teacher.to(device).requires_grad_(False).eval()
