"""Models of the local engine: loading, the parts that the trainer reads, saving.

Every model is used through two parts, the backbone (token ids to final hidden states) and the
`Head` (hidden states to logits), so that the sampler and the trainer compute the same log-probs
and nobody builds [B, T, V]. A probe at loading compares the two parts with the model's own
forward; a model that does more between them than a bias, a scale and a soft cap is refused, not
approximated.
"""

import copy
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForTokenClassification,
    AutoTokenizer,
    DynamicCache,
)
from transformers.utils import logging

from jumar.engines.local.distributed import whole
from jumar.errors import ConfigurationError, DataError, EngineError
from jumar.ops.logprobs import Head

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def load_model(
    name: str | Path,
    *,
    dtype: str = "float32",
    device: str = "auto",
    attention: str = "sdpa",
    gradient_checkpointing: bool = False,
) -> tuple[nn.Module, Any]:
    """(model, tokenizer): of `tiny`, a local directory or a hub name; in eval mode, without
    dropout.

    Weights come from safetensors only and code never comes with a model, so a directory is data
    and cannot run anything.
    """
    from jumar.engines.local.packing import pack

    if dtype not in DTYPES:
        raise ConfigurationError(
            f"The local engine was asked for dtype '{dtype}', but it needs one of "
            f"{', '.join(DTYPES)}. Weights and activations are kept in it. Set one of these; "
            "float32 is right on a CPU."
        )
    if str(name) == "tiny":
        from jumar.engines.local.tiny import tiny_model

        model, tokenizer = tiny_model()
    elif (Path(name) / "adapter_config.json").is_file():
        from jumar.engines.local.adapter_files import merged_model

        model, tokenizer = merged_model(Path(name), dtype=dtype, attention=attention)
    else:
        model, tokenizer = _pretrained(str(name), DTYPES[dtype], attention)
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    model = model.to(device=device, dtype=DTYPES[dtype]).eval()
    _check_parts(model, str(name))
    _check_vocabulary(model, tokenizer, str(name))
    pack(model)
    if gradient_checkpointing:
        recompute_activations(model)
    return model, tokenizer


def recompute_activations(model: Any) -> None:
    """Gradient checkpointing: less memory, one more forward; the model goes into training mode."""
    # transformers 5 renamed it on the way; it works in training mode only, where dropout is off
    if hasattr(model, "activation_checkpointing_enable"):
        model.activation_checkpointing_enable(
            activation_checkpointing_kwargs={"use_reentrant": False}
        )
    else:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    model.train()


def backbone(model: nn.Module) -> nn.Module:
    """The part from token ids to final hidden states."""
    part: Any = model.base_model
    return cast(nn.Module, part)


def lm_head(model: nn.Module) -> Head:
    """The part from hidden states to logits; tied embeddings share their weight with it."""
    layer: Any = model.get_output_embeddings()  # type: ignore[operator]
    config: Any = model.config
    scale = float(getattr(config, "logit_scale", None) or 1.0)  # Cohere multiplies,
    scale /= float(getattr(config, "logits_scaling", None) or 1.0)  # Granite divides
    softcap = getattr(config, "final_logit_softcapping", None)
    return Head(layer.weight, getattr(layer, "bias", None), scale, softcap)


def context_length(model: nn.Module) -> int | None:
    """Tokens that prompt and response may have together; None where the model states no limit."""
    limit: int | None = getattr(model.config, "max_position_embeddings", None)
    return limit


def save_model(
    model: nn.Module,
    tokenizer: Any,
    directory: Path,
    weights: Mapping[str, Tensor] | None = None,
) -> None:
    """Write a plain Hugging Face directory, which `from_pretrained` and vLLM load; with `weights`
    by name in place of the model's own.
    """
    with _quiet():
        model.save_pretrained(directory, state_dict=weights)  # type: ignore[operator]
        tokenizer.save_pretrained(directory)


def is_adapted(model: nn.Module) -> bool:
    """Whether what is trained of it is an adapter: see `lora`."""
    return hasattr(model, "lora_base")


def new_critic(policy: nn.Module) -> nn.Module:
    """A value model of the policy's architecture and weights, one number per token, zero
    everywhere at first; it recomputes activations if the policy does.
    """
    if is_adapted(policy):
        raise ConfigurationError(
            "The algorithm has a critic, a second model of the policy's size that is trained "
            "whole, but `lora.rank` is set, with which one model has to fit into memory. Leave "
            "lora.rank out, or choose an algorithm without a critic, such as grpo or owpo."
        )
    config = copy.deepcopy(policy.config)
    config.num_labels, config.classifier_dropout = 1, 0.0  # type: ignore[union-attr]
    try:
        with torch.random.fork_rng(devices=[]):  # its random weights are replaced below
            critic: nn.Module = AutoModelForTokenClassification.from_config(config)
    except ValueError as error:
        raise EngineError(
            f"A critic needs a value model of the policy's architecture, but transformers has "
            f"none for "
            f"'{config.model_type}'. "  # type: ignore[union-attr]
            "It estimates the return from the policy's own features. Choose another model, or an "
            "algorithm without a critic."
        ) from error
    features = backbone(policy).state_dict().items()
    backbone(critic).load_state_dict({name: whole(weight) for name, weight in features})
    score = _score(critic)
    nn.init.zeros_(score.weight)
    if score.bias is not None:
        nn.init.zeros_(score.bias)
    reference = next(policy.parameters())
    critic = critic.to(device=reference.device, dtype=reference.dtype).eval()
    if any(getattr(part, "gradient_checkpointing", False) for part in policy.modules()):
        recompute_activations(critic)
    return critic


def load_critic(directory: Path, like: nn.Module) -> nn.Module:
    """A critic as `save_model` wrote it, on the policy's device and in its dtype."""
    reference = next(like.parameters())
    try:
        with _quiet():
            critic: nn.Module = AutoModelForTokenClassification.from_pretrained(
                directory,
                dtype=reference.dtype,
                trust_remote_code=False,
                use_safetensors=True,
                local_files_only=True,
            )
    except Exception as error:
        raise _unusable(str(directory), "cannot be loaded as a critic", error) from error
    return critic.to(reference.device).eval()


def critic_values(critic: nn.Module, hidden: Tensor) -> Tensor:
    """[N]: values from the critic's hidden states, at least float32."""
    values: Tensor = _score(critic)(hidden)[..., 0]
    return values if values.dtype == torch.float64 else values.float()


def _score(critic: nn.Module) -> nn.Linear:
    layer = getattr(critic, "score", None) or getattr(critic, "classifier", None)
    assert isinstance(layer, nn.Linear)
    return layer


def _pretrained(name: str, dtype: torch.dtype, attention: str) -> tuple[Any, Any]:
    _check_directory(name)
    options = {"trust_remote_code": False, "local_files_only": Path(name).is_dir()}
    try:
        with _quiet():
            config = AutoConfig.from_pretrained(name, **options)
            _drop_dropout(config)
            model, report = AutoModelForCausalLM.from_pretrained(
                name,
                config=config,
                dtype=dtype,
                # sdpa is transformers' default wherever it exists (Gemma 2's soft cap has none)
                attn_implementation=None if attention == "sdpa" else attention,
                use_safetensors=True,
                output_loading_info=True,
                **options,
            )
    except Exception as error:
        raise _unusable(name, "cannot be loaded as a causal language model", error) from error
    if report["missing_keys"]:
        missing = ", ".join(sorted(report["missing_keys"])[:3])
        raise _unusable(
            name, f"lacks {len(report['missing_keys'])} of its weights ({missing}, ...)"
        )
    try:
        tokenizer = AutoTokenizer.from_pretrained(name, **options)
    except Exception as error:
        raise _unusable(name, "has no tokenizer that can be loaded", error) from error
    return model, tokenizer


@contextmanager
def _quiet() -> Iterator[None]:
    """Without transformers' progress bars and reports; what goes wrong is raised anyway."""
    bars, verbosity = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def _drop_dropout(config: Any) -> None:
    # with dropout the trainer's log-probs would be of another distribution than the one sampled
    # from
    for key, value in config.to_dict().items():
        if isinstance(value, float) and ("dropout" in key or key.endswith("_pdrop")):
            setattr(config, key, 0.0)


def _check_directory(name: str) -> None:
    path = Path(name).expanduser()
    if not os.path.exists(path):  # nor can it be looked at
        if name.startswith((".", "/", "~")) or name.count("/") > 1:
            raise _unusable(name, "does not exist")
        return
    if not path.is_dir():
        raise _unusable(name, "is a file")
    if not (path / "config.json").is_file():
        raise _unusable(name, "has no config.json")
    if not any(path.glob("*.safetensors")):
        raise _unusable(name, "has no weights (*.safetensors)")


def _check_parts(model: Any, name: str) -> None:
    layers = DynamicCache(config=model.config).layers
    if not all(hasattr(layer, "batch_select_indices") for layer in layers):
        raise _unusable(
            name, "has recurrent layers, whose state the sampler cannot share in a group"
        )
    ids = torch.arange(8, device=model.device)[None] % model.config.get_text_config().vocab_size
    with torch.no_grad():
        whole = model(input_ids=ids, use_cache=False).logits[0]
        hidden = backbone(model)(input_ids=ids, use_cache=False).last_hidden_state[0]
        prefix = model(input_ids=ids[:, :4], use_cache=False).logits[0]
    tolerance = 1e-4 if whole.dtype == torch.float32 else 0.05
    tolerance *= 1.0 + float(whole.abs().max())
    if not torch.allclose(lm_head(model).logits(hidden), whole.float(), rtol=0.0, atol=tolerance):
        raise _unusable(name, "transforms its logits in a way that jumar does not know")
    if not torch.allclose(prefix.float(), whole[:4].float(), rtol=0.0, atol=tolerance):
        raise _unusable(name, "is no causal model: a token's prediction depends on later tokens")


def _check_vocabulary(model: Any, tokenizer: Any, name: str) -> None:
    rows = model.get_input_embeddings().weight.shape[0]
    if len(tokenizer) > rows:
        raise _unusable(name, f"has a tokenizer of {len(tokenizer)} tokens, but a model of {rows}")


def _unusable(name: str, what: str, cause: Exception | None = None) -> DataError:
    first = (
        str(cause).strip().splitlines()[0][:300] if cause is not None and str(cause).strip() else ""
    )
    return DataError(
        f"The model '{name}' {what}{f' ({first})' if first else ''}. jumar needs `tiny`, a "
        f"Hugging Face directory with "
        "config.json, a tokenizer and *.safetensors weights, or a hub name; code and pickled "
        "weights in it are never run. "
        "Check the path or the name, or save the model again with save_pretrained."
    )
