"""What training changes: the policy, the critic where there is one, and their optimisers."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from jumar.engines.local.checkpoint import load_optimiser, optimiser_tensors
from jumar.engines.local.lora import policy_writer, restore_policy
from jumar.engines.local.models import load_critic
from jumar.engines.local.optimiser import new_adamw
from jumar.engines.local.sharding import load_weights, model_writer, whole_on_main
from jumar.engines.settings import OptimiserSettings
from jumar.schedules import Schedule


class Trained:
    """Models with AdamW around each; saved and loaded whole."""

    def __init__(
        self,
        policy: nn.Module,
        critic: nn.Module | None,
        settings: OptimiserSettings,
        *,
        learning_rate: float | None = None,
    ) -> None:
        self.policy, self.critic = policy, critic
        self._rates = {
            "policy": learning_rate or settings.learning_rate,
            "critic": settings.critic_learning_rate,
        }
        self.optimisers: dict[str, torch.optim.AdamW] = {
            name: new_adamw(
                model,
                lr=self._rates[name],
                betas=settings.betas,
                eps=settings.eps,
                weight_decay=settings.weight_decay,
            )
            for name, model in (("policy", policy), ("critic", critic))
            if model is not None
        }

    def scale_learning_rates(self, factor: float) -> None:
        """Each model's own rate times `factor`."""
        for name, optimiser in self.optimisers.items():
            for group in optimiser.param_groups:
                group["lr"] = factor * self._rates[name]

    def forget_moments(self) -> None:
        """Start the optimisers afresh: the weights are others now."""
        for optimiser in self.optimisers.values():
            optimiser.state.clear()

    def writer(self, tokenizer: Any) -> Callable[[Path], None]:
        """What writes `model/`, `critic/` and a file of moments for each; see `policy_writer`."""
        # before the moments: it deals out again what a forward left whole
        writers = {"model": policy_writer(self.policy, tokenizer)}
        if self.critic is not None:
            writers["critic"] = model_writer(self.critic, tokenizer)
        moments = {n: whole_on_main(optimiser_tensors(m, o)) for n, m, o in self._each()}

        def write(path: Path) -> None:
            for name, writer in writers.items():
                writer(path / name)
            for name, tensors in moments.items():
                save_file(tensors, path / f"{name}-optimiser.safetensors")

        return write

    def read(self, path: Path, dtype: str) -> None:
        """Take up what `write` left there."""
        restore_policy(self.policy, path / "model", dtype)
        if self.critic is not None:
            load_weights(self.critic, load_critic(path / "critic", self.policy).state_dict())
        for name, model, optimiser in self._each():
            load_optimiser(model, optimiser, load_file(path / f"{name}-optimiser.safetensors"))

    def _each(self) -> Iterator[tuple[str, nn.Module, torch.optim.AdamW]]:
        models = {"policy": self.policy, "critic": self.critic}
        for name, optimiser in self.optimisers.items():
            model = models[name]
            assert model is not None
            yield name, model, optimiser


def learning_rate_factor(optimiser: OptimiserSettings, step: int) -> float:
    """What the learning rates are multiplied by in the step after `step` steps."""
    warm = min(1.0, (step + 1) / optimiser.warmup_steps) if optimiser.warmup_steps else 1.0
    if optimiser.decay == "constant" or optimiser.decay_steps is None:
        return warm
    shape = Schedule(start=1.0, end=0.0, steps=optimiser.decay_steps, shape=optimiser.decay)
    return warm * shape.at(step=step, stage_step=step)
