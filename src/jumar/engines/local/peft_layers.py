"""peft's side of LoRA: layers put into a model in its place, and one of their adapters in use.

Nothing is computed here. Of peft this uses `LoraConfig`, `peft.functional`, and of a `LoraLayer`
its `lora_A`, `lora_B`, `set_adapter`, `enable_adapters`, `disable_adapters`; no private name.
"""

import warnings
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import nn

from jumar.engines.local.adapter_files import PREFIX, Adapter, unusable
from jumar.errors import ConfigurationError

POLICY = "policy"  # the adapter that is trained


def check_peft() -> None:
    """Refuse LoRA where peft cannot be imported."""
    try:
        import_module("peft")
    except ImportError as error:
        raise ConfigurationError(
            "`lora.rank` is set, which needs the package peft, whose layers are trained, and it "
            f"cannot be imported ({error}). Install it with `pip install 'jumar[lora]'`, or leave "
            "lora.rank out to train every weight."
        ) from error


def put_in(
    model: nn.Module, name: str, targets: Sequence[str], *, rank: int, alpha: int, turned: bool
) -> Any:
    """An adapter at each of the layers `targets`, frozen unless it is POLICY, which stays in use;
    its peft configuration.
    """
    functional = import_module("peft.functional")
    config = import_module("peft").LoraConfig(
        r=rank, lora_alpha=alpha, target_modules=list(targets), fan_in_fan_out=turned,
        task_type="CAUSAL_LM", inference_mode=name != POLICY,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Already found a `peft_config`")  # it is meant
        functional.inject_adapter_in_model(config, model, name)
    functional.cast_adapter_dtype(model, name)  # an adapter is float32 beside a bfloat16 base
    functional.set_adapter(model, POLICY)
    return config


def take_out(model: Any, name: str) -> None:
    """Nothing of the adapter stays."""
    import_module("peft.functional").delete_adapter(model, name, "lora_")
    del model.peft_config[name]


def switch(model: nn.Module, name: str | None) -> None:
    """Use this adapter from now on, or none."""
    for layer in layers(model).values():
        if name is not None:
            layer.set_adapter(name, inference_mode=name != POLICY)
        if layer.disable_adapters is (name is not None):
            layer.enable_adapters(name is not None)


def layers(model: nn.Module) -> dict[str, Any]:
    """The layers of peft, by the names of those that they stand for."""
    kind = import_module("peft.tuners.lora").LoraLayer
    return {name: part for name, part in model.named_modules() if isinstance(part, kind)}


def weights(model: nn.Module, adapter: str) -> Iterator[tuple[str, nn.Parameter]]:
    """An adapter's weights, by their names in peft's files."""
    for name, layer in layers(model).items():
        for side in ("A", "B"):
            held = getattr(layer, f"lora_{side}")
            if adapter in held:
                yield f"{PREFIX}{name}.lora_{side}.weight", held[adapter].weight


def fill(model: nn.Module, name: str, adapter: Adapter) -> None:
    """Copy what was read into the adapter `name`, which has to have the same layers and rank."""
    there = dict(weights(model, name))
    given = {
        f"{PREFIX}{layer}.lora_{side}.weight": tensor
        for layer, pair in adapter.weights.items()
        for side, tensor in zip("AB", pair, strict=True)
    }
    if {k: v.shape for k, v in there.items()} != {k: v.shape for k, v in given.items()}:
        raise unusable(adapter.path, f"of rank {adapter.rank} has other layers or ranks than ours")
    with torch.no_grad():
        for key, weight in there.items():
            weight.copy_(given[key])


def save_config(model: Any, directory: Path, *, base: str) -> None:
    """Write adapter_config.json of POLICY."""
    config = model.peft_config[POLICY]
    config.base_model_name_or_path = base
    config.target_modules = sorted(config.target_modules)  # a set is written in any order
    config.save_pretrained(directory)


def linear_layers(model: Any, wanted: str | Sequence[str]) -> list[str]:
    """Names of the backbone's linear layers: all of them, or those that `wanted` names."""
    kinds = nn.Linear, import_module("transformers.pytorch_utils").Conv1D
    head = model.get_output_embeddings()
    there = [
        name for name, part in model.named_modules() if isinstance(part, kinds) and part is not head
    ]
    if wanted == "all-linear":
        return there
    ends = [wanted] if isinstance(wanted, str) else list(wanted)
    missing = [end for end in ends if not any(_is_named(name, end) for name in there)]
    if missing or not ends:
        leaves = ", ".join(sorted({name.rpartition(".")[2] for name in there}))
        raise ConfigurationError(
            f"`lora.target_modules` names {', '.join(missing) or 'nothing'}, but needs linear "
            f"layers of the model's backbone, to put adapters beside. There are: {leaves}. Name "
            "some of them, or set lora.target_modules=all-linear."
        )
    return [name for name in there if any(_is_named(name, end) for end in ends)]


def _is_named(layer: str, end: str) -> bool:
    return f".{layer}".endswith(f".{end}")
