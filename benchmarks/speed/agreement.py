"""Both losses on one rollout: TRL samples it and trains on it, and then it is ours."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoTokenizer, TrainerCallback

from speed import ours, theirs
from speed.sides import Numbers, Pause
from speed.work import Work, even

TOLERANCE = 1e-4  # of float32; of gradients as a fraction of the largest entry

Found = tuple[float, dict[str, Tensor]]  # a loss, and its gradients by parameter


def told(own: Found, trl: Found) -> Numbers:
    """Both losses, and the largest gap between gradients as a fraction of their largest entry."""
    largest = max(float(g.abs().max()) for g in trl[1].values())
    gaps = [float((own[1][name] - g).abs().max()) for name, g in trl[1].items()]
    return {"ours": own[0], "theirs": float(trl[0]), "gradient": max(gaps) / largest}


def checked(numbers: Numbers) -> Numbers:
    """What was told, without the seconds that it took; AssertionError where both differ."""
    found = {name: numbers[name] for name in ("ours", "theirs", "gradient")}
    assert abs(found["ours"] - found["theirs"]) < TOLERANCE, found
    assert found["gradient"] < TOLERANCE, found
    return found


def gradients(model: nn.Module) -> dict[str, Tensor]:
    """A copy, by parameter."""
    return {name: p.grad.clone() for name, p in model.named_parameters()}


class Gradients(TrainerCallback):  # type: ignore[misc]
    """Keeps the gradients of TRL's step."""

    def __init__(self) -> None:
        self.found: dict[str, Tensor] = {}

    def on_pre_optimizer_step(self, *_: Any, model: Any = None, **__: Any) -> None:
        self.found = gradients(model)


def of_grpo(work: Work, pause: Pause, folder: Path) -> None:
    """Tell how far apart both are on a rollout of four prompts."""
    work = replace(work, prompts=4)
    host = theirs.trainer(work, folder, _Recording, max_grad_norm=0.0, max_steps=1)
    kept = Gradients()
    host.add_callback(kept)
    host.train()
    pause(**told(_ours(folder, host.inputs), (host.loss, kept.found)))


class _Recording(theirs.Timed):
    loss, inputs = 0.0, None

    def _prepare_inputs(self, generation_batch: Any) -> Any:
        self.inputs = super()._prepare_inputs(generation_batch)
        return self.inputs

    def training_step(self, *arguments: Any, **named: Any) -> Tensor:
        loss: Tensor = super().training_step(*arguments, **named)
        self.loss = float(loss)
        return loss


def _ours(folder: Path, inputs: Any) -> Found:
    model = ours.model(folder)
    prompts, ids = inputs["prompt_ids"], inputs["completion_ids"]
    tokenizer = AutoTokenizer.from_pretrained(folder / "model")
    rewards = torch.tensor(even([], tokenizer.batch_decode(ids, skip_special_tokens=True)))
    updater = ours.updater(model, folder)
    batch = ours.batch(prompts, ids, inputs["completion_mask"].bool(), rewards)
    updater.update(batch, prompts.tolist(), {})
    return updater.loss, gradients(model)
