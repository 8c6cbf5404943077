"""Frozen models beside the policy: the reference, the teacher, the sides of a log-ratio."""

from pathlib import Path

import torch
from torch import nn

from jumar.algorithm import Algorithm
from jumar.engines.local.lora import shared
from jumar.engines.local.model_names import resolved_model
from jumar.engines.local.models import load_model
from jumar.engines.local.policy import LocalPolicy
from jumar.engines.local.provision import Teacher, needs, teachers
from jumar.engines.local.sharding import shard_like
from jumar.engines.local.update import Models
from jumar.engines.settings import ModelSettings
from jumar.errors import ConfigurationError


class Anchors:
    """Puts into `models` what an algorithm compares the policy with, and takes it out again."""

    def __init__(self, models: Models, policy: LocalPolicy, settings: ModelSettings) -> None:
        self._models, self._policy, self._settings = models, policy, settings
        self._loaded: dict[str, Teacher] = {}  # what is there, by role

    def load(self, algorithm: Algorithm, reference: str | None, teacher: Teacher) -> None:
        """What the algorithm needs of the two, unless it is there already."""
        if needs(algorithm, "reference") and self._changes("reference", reference):
            self._models.reference = self._frozen(str(reference), "reference")
        if needs(algorithm, "teacher") and self._changes("teacher", teacher):
            models = teachers(teacher).values()
            self._models.teachers = [self._frozen(model, "teacher") for model in models]

    def let_go(self) -> None:
        """Nothing of it stays in memory."""
        self._models.reference, self._models.teachers = None, ()
        self._loaded.clear()

    def _changes(self, role: str, wanted: Teacher) -> bool:
        changes = self._loaded.get(role) != wanted
        self._loaded[role] = wanted
        return changes

    def _frozen(self, name: str, role: str) -> nn.Module:
        return load_frozen(name, role, self._policy, self._settings)


def load_frozen(
    name: str | Path, role: str, policy: LocalPolicy, settings: ModelSettings
) -> nn.Module:
    """A model without gradient on the policy's device, asked about the policy's own tokens.

    Where the policy is an adapter, models of the same base share its weights.
    """
    if (same := shared(policy.model, str(name))) is not None:
        return same
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
    frozen: nn.Module = shard_like(model.requires_grad_(False), policy.model)
    return frozen
