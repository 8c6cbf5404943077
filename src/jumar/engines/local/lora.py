"""LoRA: adapters of low rank beside one base, which is in memory once and never moves.

The policy is the base with the adapter POLICY. A reference or a teacher of the same base is a
`Shared`: the same weights with the adapters switched off, or with another, frozen adapter. A fit
trains POLICY itself, whose weights are put aside for that long. A critic would be a second model of
the base's size, so algorithms with one are refused.

Functions here take any model; one that has no adapter is treated as a whole.
"""

import json
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from itertools import count
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from jumar.engines.local import adapter_files, peft_layers
from jumar.engines.local.adapter_files import Base, is_adapter, read_adapter, unusable
from jumar.engines.local.distributed import whole
from jumar.engines.local.model_names import place
from jumar.engines.local.models import backbone, is_adapted, load_model
from jumar.engines.local.peft_layers import POLICY
from jumar.engines.local.sharding import load_weights, model_writer
from jumar.engines.settings import LoraSettings

_numbers = count()  # of frozen adapters


def add_adapter(model: Any, settings: LoraSettings, *, base: str, seed: int) -> None:
    """Freeze a model that was loaded as `base`, and put the adapter POLICY into it, which changes
    nothing yet.
    """
    assert settings.rank is not None
    peft_layers.check_peft()
    known = Base.of(model, place(base))
    targets = peft_layers.linear_layers(model, settings.target_modules)
    turned = not isinstance(model.get_submodule(targets[0]), nn.Linear)
    with torch.random.fork_rng(devices=[]):  # peft draws on the CPU
        torch.manual_seed(seed)
        peft_layers.put_in(
            model, POLICY, targets, rank=settings.rank, alpha=settings.alpha, turned=turned
        )
    model.lora_base = known


def merged_weights(model: Any, *, device: str | None = None) -> Iterator[tuple[str, Tensor]]:
    """(name, weight) as a plain model of this architecture has them, the adapter added, by name.

    They are made one at a time, on `device` (None: where they are); the model stays as it is. Where
    weights are dealt over processes, all of them have to ask, and each gets whole ones.
    """
    adapter: str | None = POLICY
    if isinstance(model, Shared):
        model, adapter = model.model, model.adapter
    layers = peft_layers.layers(model) if is_adapted(model) else {}
    inside = tuple(f"{name}." for name in layers)
    for name, part in sorted(model.state_dict().items()):
        layer, _, leaf = name.rpartition(".base_layer.")
        weight = whole(part)
        if layer in layers and leaf == "weight":
            yield f"{layer}.{leaf}", _merged(layers[layer], adapter, weight, device)
        elif layer in layers:
            yield f"{layer}.{leaf}", weight
        elif not name.startswith(inside):
            yield name, weight


@torch.no_grad()
def _merged(layer: Any, adapter: str | None, weight: Tensor, device: str | None) -> Tensor:
    if adapter not in layer.lora_A:
        return weight
    added, weight = layer.get_delta_weight(adapter).to(device), weight.to(device)
    merged: Tensor = (weight + added).to(weight.dtype)
    return merged


# ---------------------------------------------------------------------- on disk


def policy_writer(model: Any, tokenizer: Any) -> Callable[[Path], None]:
    """What writes what is trained: an adapter in peft's format, or a plain Hugging Face directory;
    all processes have to ask for it: see `model_writer`.
    """
    if not is_adapted(model):
        return model_writer(model, tokenizer)
    return lambda directory: save_adapter(
        model, directory, dict(peft_layers.weights(model, POLICY))
    )


def save_adapter(model: Any, directory: Path, weights: Mapping[str, Tensor]) -> None:
    """Write the adapter POLICY, whose weights have the names of peft's files."""
    peft_layers.save_config(model, directory, base=model.lora_base.name)
    tensors = {name: weight.detach().contiguous() for name, weight in weights.items()}
    save_file(tensors, directory / adapter_files.WEIGHTS)
    text = json.dumps(asdict(model.lora_base), indent=1, sort_keys=True)
    (directory / adapter_files.BASE).write_text(text + "\n", encoding="utf-8")


def restore_policy(model: Any, directory: Path, dtype: str) -> None:
    """Take up what `policy_writer` left there."""
    if not is_adapted(model):
        saved, _ = load_model(directory, dtype=dtype)
        load_weights(model, saved.state_dict())
        return
    adapter = read_adapter(directory)
    if not adapter.base.is_same(model.lora_base):
        what = f"belongs to {adapter.base}, but the run has loaded {model.lora_base}"
        raise unusable(directory, what)
    alpha = model.peft_config[POLICY].lora_alpha
    if adapter.alpha != alpha:
        raise unusable(directory, f"has alpha {adapter.alpha}, but lora.alpha is {alpha}")
    peft_layers.fill(model, POLICY, adapter)


# ---------------------------------------------------------------------- several models in one


class Shared(nn.Module):
    """An adapted model's weights with another adapter in use, or with none."""

    def __init__(self, model: Any, adapter: str | None) -> None:
        super().__init__()
        self.model, self.adapter = model, adapter
        self.training = model.training  # what sets it sets the model's

    def forward(self, **inputs: Any) -> Any:
        """The backbone's; afterwards POLICY is in use again."""
        peft_layers.switch(self.model, self.adapter)
        try:
            return backbone(self.model)(**inputs)
        finally:
            peft_layers.switch(self.model, POLICY)

    @property
    def base_model(self) -> nn.Module:
        """What `backbone` finds: itself."""
        return self

    @property
    def config(self) -> Any:
        """The model's."""
        return self.model.config

    def get_output_embeddings(self) -> Any:
        """The model's: no adapter changes them."""
        return self.model.get_output_embeddings()


def shared(model: Any, name: str) -> Shared | None:
    """The model `name` as another use of an adapted model's base; None where it has another."""
    if not is_adapted(model):
        return None
    if place(name) == model.lora_base.name:
        return Shared(model, None)
    there = (Path(name) / inside for inside in (".", "adapter", "model"))
    directory = next(filter(is_adapter, there), None)
    adapter = None if directory is None else read_adapter(directory)
    if adapter is None or not adapter.base.is_same(model.lora_base):
        return None
    own = f"frozen-{next(_numbers)}"
    peft_layers.put_in(
        model, own, list(adapter.weights),
        rank=adapter.rank, alpha=adapter.alpha, turned=adapter.turned,
    )  # fmt: skip
    peft_layers.fill(model, own, adapter)
    found = Shared(model, own)
    weakref.finalize(found, peft_layers.take_out, model, own)  # it goes with its last user
    return found


@contextmanager
def keeping_adapter(model: Any) -> Iterator[None]:
    """Afterwards POLICY has the weights that it has now; a whole model is left alone."""
    own = peft_layers.weights(model, POLICY) if is_adapted(model) else ()
    aside = [(weight, weight.detach().clone()) for _, weight in own]
    try:
        yield
    finally:
        with torch.no_grad():
            for weight, value in aside:
                weight.copy_(value)
