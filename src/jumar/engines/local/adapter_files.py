"""Adapters on disk: a directory in peft's own format, and beside it the base that it belongs to.

    adapter_config.json, adapter_model.safetensors    peft's; whatever knows peft loads them
    base.json                                         ours: name, dtype and SHA-256 of the base

An adapter is a difference, and means nothing beside other weights, so it is never put there. Only
safetensors and JSON are read, and only a plain LoRA is taken: no field of the configuration can
change the formula, or name code. Reading and merging need no peft.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from jumar.engines.local.distributed import whole
from jumar.engines.local.model_names import place
from jumar.engines.local.models import load_model
from jumar.errors import DataError

CONFIG, WEIGHTS, BASE = "adapter_config.json", "adapter_model.safetensors", "base.json"
PREFIX = "base_model.model."  # peft's, before the name of each layer
# what may stand in peft's configuration; any other field has to be empty
PLAIN = {
    "auto_mapping", "base_model_name_or_path", "exclude_modules", "fan_in_fan_out",
    "inference_mode", "layers_pattern", "layers_to_transform", "lora_alpha", "lora_dropout",
    "megatron_core", "peft_type", "peft_version", "qalora_group_size", "r", "revision",
    "target_modules", "task_type",
}  # fmt: skip
INITIALISATIONS = (True, False, "gaussian", "orthogonal")  # others change the base as well


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """The weights that an adapter belongs to; peft alone writes down no more than their name."""

    name: str  # a directory or a hub name
    dtype: str | None = None
    sha256: str | None = None  # of every weight in this dtype

    @classmethod
    def of(cls, model: nn.Module, name: str) -> Self:
        """Of a model as it is in memory."""
        found = hashlib.sha256()
        for key, weight in sorted(model.state_dict().items()):
            found.update(key.encode())
            plain = whole(weight.detach()).cpu().contiguous()
            found.update(plain.flatten().view(torch.uint8).numpy().data)
        dtype = str(next(model.parameters()).dtype).removeprefix("torch.")
        return cls(name=name, dtype=dtype, sha256=found.hexdigest())

    def is_same(self, other: "Base") -> bool:
        """By their weights; by their names where those cannot be compared."""
        if None in (self.sha256, other.sha256) or self.dtype != other.dtype:
            return self.name == other.name
        return self.sha256 == other.sha256

    def __str__(self) -> str:
        known = f" ({self.dtype}, SHA-256 {self.sha256[:12]})" if self.sha256 else ""
        return f"{self.name}{known}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapter:
    """What a directory holds: by the name of a layer A [rank, in] and B [out, rank]."""

    path: Path
    base: Base
    rank: int
    alpha: int
    turned: bool  # the layers keep their weights as [in, out], as GPT-2's do
    weights: Mapping[str, tuple[Tensor, Tensor]]

    def difference(self, layer: str) -> Tensor:
        """What it adds to the weight of a layer."""
        first, second = self.weights[layer]
        product = second @ first
        return (product.T if self.turned else product) * (self.alpha / self.rank)


def is_adapter(directory: str | Path) -> bool:
    """Whether there is one."""
    return (Path(directory) / CONFIG).is_file()


def read_adapter(directory: Path) -> Adapter:
    """The adapter in a directory, checked."""
    try:
        config: dict[str, Any] = json.loads((directory / CONFIG).read_text(encoding="utf-8"))
        _check_plain(directory, config)
        known = directory / BASE
        return Adapter(
            path=directory,
            base=Base(**json.loads(known.read_text(encoding="utf-8")))
            if known.is_file()
            else Base(name=place(config["base_model_name_or_path"])),
            rank=int(config["r"]),
            alpha=int(config["lora_alpha"]),
            turned=bool(config.get("fan_in_fan_out")),
            weights=_pairs(directory, load_file(directory / WEIGHTS)),
        )
    except DataError:
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError, SafetensorError) as error:
        raise unusable(directory, f"cannot be read ({error})") from error


def merged_model(directory: Path, *, dtype: str, attention: str) -> tuple[nn.Module, Any]:
    """(model, tokenizer): the base with the adapter added to its weights, on the CPU."""
    adapter = read_adapter(directory)
    model, tokenizer = load_model(adapter.base.name, dtype=dtype, device="cpu", attention=attention)
    there = Base.of(model, adapter.base.name)
    if not there.is_same(adapter.base):
        raise unusable(directory, f"belongs to {adapter.base}, and there is now {there}")
    weights = dict(model.named_parameters())
    with torch.no_grad():
        for layer in adapter.weights:
            weight, added = weights.get(f"{layer}.weight"), adapter.difference(layer)
            if weight is None or weight.shape != added.shape:
                raise unusable(directory, f"changes {layer}, which {adapter.base} has not")
            weight.copy_((weight + added).to(weight.dtype))
    return model, tokenizer


def unusable(directory: Path, what: str) -> DataError:
    """The error of an adapter that does not do."""
    return DataError(
        f"The adapter {directory} {what}. jumar needs a plain LoRA in peft's format "
        f"({CONFIG}, {WEIGHTS}) and the very base that it was trained beside: an adapter is a "
        "difference to it. Check the path, restore the base, or merge the adapter with the library "
        "that made it and name the merged model."
    )


def _check_plain(directory: Path, config: Mapping[str, Any]) -> None:
    if config.get("peft_type") != "LORA":
        raise unusable(directory, f"is of the kind {config.get('peft_type')}")
    if config.get("init_lora_weights", True) not in INITIALISATIONS:
        raise unusable(directory, f"has init_lora_weights={config['init_lora_weights']}")
    known = PLAIN | {"init_lora_weights"}
    for name, value in sorted(config.items()):
        if name not in known and value not in (None, False, "none", [], {}):
            raise unusable(directory, f"has {name}={value}")


def _pairs(directory: Path, tensors: Mapping[str, Tensor]) -> dict[str, tuple[Tensor, Tensor]]:
    sides: dict[str, dict[str, Tensor]] = {"A": {}, "B": {}}
    for key, tensor in tensors.items():
        found = re.fullmatch(rf"{re.escape(PREFIX)}(.+)\.lora_([AB])\.weight", key)
        if found is None or tensor.dim() != 2:
            raise unusable(directory, f"has a tensor {key} {list(tensor.shape)}")
        exact = tensor.dtype in (torch.float32, torch.float64)
        sides[found[2]][found[1]] = tensor if exact else tensor.float()
    if sides["A"].keys() != sides["B"].keys():
        raise unusable(directory, "has only one half of some pairs")
    return {layer: (first, sides["B"][layer]) for layer, first in sides["A"].items()}
