"""Both losses on one rollout: TRL samples it and trains on it, and then it is ours."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback

from jumar import algorithms
from jumar.engines.local.update import Models, Updater
from jumar.engines.settings import EngineSettings
from jumar.types import RolloutBatch
from speed import ours, theirs
from speed.sides import Pause
from speed.work import Work, even

TOLERANCE = 1e-4  # of float32, in gradients as a fraction of the largest


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One optimiser step: its loss, and the gradients by parameter."""

    loss: float
    gradients: dict[str, Tensor]


def differences(work: Work, pause: Pause, folder: Path) -> None:
    """Tell how far apart both are on a rollout of four prompts."""
    work = replace(work, prompts=4)
    host = theirs.trainer(work, folder, _Recording, max_grad_norm=0.0, max_steps=1)
    kept = _Gradients()
    host.add_callback(kept)
    host.train()
    trl = Found(loss=host.loss, gradients=kept.found)
    own = _ours(work, folder, host.inputs)
    largest = max(float(g.abs().max()) for g in trl.gradients.values())
    gaps = [float((own.gradients[name] - g).abs().max()) for name, g in trl.gradients.items()]
    pause(ours=own.loss, theirs=trl.loss, gradient=max(gaps) / largest)


class _Recording(theirs.Timed):
    loss, inputs = 0.0, None

    def _prepare_inputs(self, generation_batch: Any) -> Any:
        self.inputs = super()._prepare_inputs(generation_batch)
        return self.inputs

    def training_step(self, *arguments: Any, **named: Any) -> Tensor:
        loss: Tensor = super().training_step(*arguments, **named)
        self.loss = float(loss)
        return loss


class _Gradients(TrainerCallback):  # type: ignore[misc]
    def __init__(self) -> None:
        self.found: dict[str, Tensor] = {}

    def on_pre_optimizer_step(self, *_: Any, model: Any = None, **__: Any) -> None:
        self.found = {name: p.grad.clone() for name, p in model.named_parameters()}


@dataclass(slots=True, kw_only=True)
class _Recorder(Updater):
    """The engine's updater, adding up the losses of its micro-batches."""

    loss: float = 0.0

    def _check_finite(self, what: str, value: Tensor, batch: RolloutBatch) -> None:
        if what == "loss":
            self.loss += value.item()


def _ours(work: Work, folder: Path, inputs: Any) -> Found:
    model = AutoModelForCausalLM.from_pretrained(folder / "model")
    algorithm = algorithms.get(**ours.GRPO)
    settings = EngineSettings.model_validate({"optimiser": {"max_grad_norm": torch.inf}})
    updater = _Recorder(
        algorithm=algorithm,
        models=Models(policy=model),
        settings=settings,
        optimisers=[torch.optim.SGD(model.parameters(), lr=0.0)],
        directory=folder,
    )
    prompts, mask = inputs["prompt_ids"], inputs["completion_mask"].bool()
    texts = AutoTokenizer.from_pretrained(folder / "model").batch_decode(
        inputs["completion_ids"], skip_special_tokens=True
    )
    rewards = torch.tensor(even([], texts))
    batch = RolloutBatch.build(
        token_ids=inputs["completion_ids"],
        mask=mask,
        truncated=torch.zeros(len(mask), dtype=torch.bool),
        rewards=rewards,
        correct=rewards == 1.0,
        group_ids=torch.unique(prompts, dim=0, return_inverse=True)[1],
    )
    batch, _, _ = updater.with_signals(batch, algorithm.init_state())
    updater.step(batch, prompts.tolist(), torch.arange(len(batch)))
    gradients = {name: p.grad.clone() for name, p in model.named_parameters()}
    return Found(loss=updater.loss, gradients=gradients)
