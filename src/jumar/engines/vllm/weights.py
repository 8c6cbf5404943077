"""The policy as files that vLLM loads: a whole model to start from, weights alone afterwards.

With LoRA the model is the base, which never moves, and what is sent afterwards is the adapter.
A weight that two layers share is written for both, because vLLM may pack each layer's own copy.
vLLM's CPU build has attention kernels for some head sizes only; heads of another size (the tiny
base has 24) are padded with zeros, which changes no logit.

Of transformers' names this uses `core_model_loading.revert_weight_conversion`, which is not public.
"""

import copy
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.functional import pad
from transformers.core_model_loading import revert_weight_conversion

from jumar.engines.local.distributed import on_main
from jumar.engines.local.lora import Shared, merged_weights, save_adapter
from jumar.engines.local.models import is_adapted
from jumar.engines.local.peft_layers import POLICY
from jumar.engines.local.peft_layers import weights as adapter_weights
from jumar.errors import ConfigurationError

HEAD_SIZES = (32, 64, 80, 96, 112, 128, 160, 192, 224, 256, 512)  # with a kernel in the CPU build
RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)  # for which vLLM has room for adapters
FILE = 2**30  # bytes of one file, which is also about what writing needs in memory

Weights = Iterator[tuple[str, Tensor]]


def named_weights(model: nn.Module) -> Weights:
    """Every weight without its adapter, under its name in a checkpoint of the model's family; of
    several processes the main one has them.
    """
    whole = Shared(model, None) if is_adapted(model) else model
    yield from revert_weight_conversion(model, dict(on_main(merged_weights(whole)))).items()


def write_model(model: nn.Module, tokenizer: Any, directory: Path) -> None:
    """A directory that vLLM starts from, and whose weights it can exchange later."""
    config: Any = copy.deepcopy(model.config)
    _check_heads(config, next(model.parameters()).dtype)
    config.architectures = [type(model).__name__]
    if (size := _padded_size(config)) is not None:
        turned = _head_size(config) / size  # the rest of a head keeps its zeros
        config.rope_parameters = {**config.rope_parameters, "partial_rotary_factor": turned}
        config.head_dim = size
    config.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    write_weights(model, directory)


def write_weights(model: nn.Module, directory: Path) -> int:
    """Safetensors files that are complete when this returns; the bytes in them."""
    directory.mkdir(parents=True, exist_ok=True)
    part: dict[str, Tensor] = {}
    total = written = number = 0
    for name, weight in _padded(model.config, named_weights(model)):
        part[name] = weight.detach().to("cpu", copy=True).contiguous()
        total += part[name].nbytes
        if total - written >= FILE:
            save_file(part, directory / f"weights-{number:05d}.safetensors", {"format": "pt"})
            part, written, number = {}, total, number + 1
    if part:
        save_file(part, directory / f"weights-{number:05d}.safetensors", {"format": "pt"})
    return total


def write_adapter(model: nn.Module, directory: Path) -> int:
    """The adapter that is trained, in peft's format; the bytes in it."""
    directory.mkdir(parents=True, exist_ok=True)
    weights = dict(_padded(model.config, adapter_weights(model, POLICY)))
    save_adapter(model, directory, weights)
    return sum(weight.nbytes for weight in weights.values())


def room_for_adapters(layers: Iterable[str], rank: int) -> dict[str, Any]:
    """What vLLM is started with, to take adapters of these layers.

    The layers are named, because an adapter's place at the head keeps vLLM from scoring prompts.
    """
    return {
        "enable_lora": True,
        "max_lora_rank": min((known for known in RANKS if known >= rank), default=rank),
        "lora_target_modules": sorted({layer.rpartition(".")[2] for layer in layers}),
    }


def _head_size(config: Any) -> int:
    return int(getattr(config, "head_dim", 0) or config.hidden_size // config.num_attention_heads)


def _check_heads(config: Any, dtype: torch.dtype) -> None:
    """Refuse what would end vLLM on a CPU; its half-precision kernels cannot read padded heads."""
    size, padded = _head_size(config), _padded_size(config) is not None and dtype == torch.float32
    if size not in HEAD_SIZES and not padded and not torch.cuda.is_available():
        raise ConfigurationError(
            f"The model has attention heads of {size} and is loaded in {dtype}, but vLLM's CPU "
            f"build has kernels for heads of {', '.join(map(str, HEAD_SIZES))} only; those of "
            "Llama are padded in float32. Set loading.dtype=float32, or choose another model."
        )


def _padded_size(config: Any) -> int | None:
    """What heads are padded to; None where they have a kernel, or no layout that is known here."""
    known = config.model_type == "llama" and not config.attention_bias
    if not known or _head_size(config) in HEAD_SIZES:
        return None
    return min((size for size in HEAD_SIZES if size > _head_size(config)), default=None)


def _padded(config: Any, weights: Weights) -> Weights:
    """Llama's attention with more zeros in each head, and the same logits.

    Of an adapter's two matrices A has the columns of the weight, and B its rows.
    """
    size = _padded_size(config)
    if size is None:
        yield from weights
        return
    old = _head_size(config)
    for name, weight in weights:
        layer, side = _place(name)
        if layer == "o_proj" and side != "lora_B":  # [D, heads * old]
            heads = weight.reshape(weight.shape[0], -1, old)
            weight = pad(heads, (0, size - old)).flatten(1)
        elif layer in ("q_proj", "k_proj", "v_proj") and side != "lora_A":  # [heads * old, D]
            heads = weight.reshape(-1, old, weight.shape[1])
            weight = pad(heads, (0, 0, 0, size - old)).flatten(0, 1)
            if layer == "q_proj":  # vLLM divides scores by the root of the padded size
                weight = weight * math.sqrt(size / old)
        yield name, weight


def _place(name: str) -> tuple[str, str]:
    """("q_proj", "") for a weight, ("q_proj", "lora_A") for a matrix beside it."""
    *_, above, last = f".{name}".removesuffix(".weight").split(".")
    return (above, last) if last in ("lora_A", "lora_B") else (last, "")
