"""Models by the numbers of their config.json: parameters, floating-point operations, cache."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jumar.errors import ConfigurationError, DataError, nearest

TYPES = ("llama", "mistral", "qwen2", "qwen3")  # dense decoders with gated MLPs


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """A dense decoder. Numbers of floating-point operations are of a forward pass."""

    hidden: int
    intermediate: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    vocabulary: int
    tied: bool  # embedding and head are one matrix
    head_norms: bool  # queries and keys are normalised, as in Qwen 3
    biases: int  # parameters in a layer

    @property
    def layer_matrices(self) -> int:
        """Parameters of a layer that multiply."""
        return sum(i * o for i, o in self.linear_layers)

    @property
    def linear_layers(self) -> list[tuple[int, int]]:
        """(inputs, outputs) of each matrix of a layer: q, k, v, o, gate, up, down."""
        d, wide = self.hidden, self.intermediate
        q, kv = self.heads * self.head_dim, self.kv_heads * self.head_dim
        return [(d, q), (d, kv), (d, kv), (q, d), (d, wide), (d, wide), (wide, d)]

    @property
    def layer(self) -> int:
        """Parameters of a layer."""
        norms = 2 * self.hidden + 2 * self.head_dim * self.head_norms
        return self.layer_matrices + self.biases + norms

    @property
    def head(self) -> int:
        """Parameters of the map from hidden states to logits."""
        return self.vocabulary * self.hidden

    @property
    def outside(self) -> int:
        """Parameters that no layer has: embedding, head, last norm."""
        return self.head * (1 if self.tied else 2) + self.hidden

    @property
    def parameters(self) -> int:
        """All of them."""
        return self.layers * self.layer + self.outside

    @property
    def critic_parameters(self) -> int:
        """The same body with one output and its bias instead of a head."""
        return self.layers * self.layer + self.head + self.hidden + self.hidden + 1

    def adapter_parameters(self, rank: int) -> int:
        """Of LoRA on every matrix of every layer."""
        return self.layers * sum(rank * (i + o) for i, o in self.linear_layers)

    def body_flops(self, tokens: float, length: float) -> float:
        """Of `tokens` in rows of `length`: the layers; attention looks back half a row."""
        attention = 4 * self.heads * self.head_dim * length / 2
        return tokens * self.layers * (2 * self.layer_matrices + attention)

    def recomputed_flops(self, tokens: float, length: float) -> float:
        """Of the layers again, as gradient checkpointing does, up to each one's last matrix."""
        last = 2 * self.hidden * self.intermediate
        return self.body_flops(tokens, length) - tokens * self.layers * last

    def head_flops(self, tokens: float) -> float:
        """Of the logits of `tokens`."""
        return tokens * 2 * self.head

    def cache_bytes(self, dtype_bytes: int) -> int:
        """Of keys and values of one token."""
        return 2 * self.layers * self.kv_heads * self.head_dim * dtype_bytes

    def activation_bytes(self, dtype_bytes: int) -> int:
        """Of what the backward pass of one layer needs of one token; norms compute in float32."""
        q, kv = self.heads * self.head_dim, self.kv_heads * self.head_dim
        kept = 4 * self.intermediate + 2 * q + 2 * kv + 4 * self.hidden
        wide = 8 * self.hidden + 4 * self.heads + 8
        if self.head_norms:
            wide += (4 + dtype_bytes) * (q + kv) + 4 * (self.heads + self.kv_heads)
        return dtype_bytes * kept + wide


def _config(kind: str, *numbers: int, tied: bool, **more: int) -> Mapping[str, Any]:
    names = (
        "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
        "num_key_value_heads", "vocab_size",
    )  # fmt: skip
    config = dict(zip(names, numbers, strict=True))
    return {"model_type": kind, **config, "tie_word_embeddings": tied, **more}


KNOWN: Mapping[str, Mapping[str, Any]] = {  # as in the config.json of these repositories
    "tiny": _config("llama", 96, 384, 2, 4, 4, 384, tied=True),  # ours
    "Qwen2.5-0.5B": _config("qwen2", 896, 4864, 24, 14, 2, 151936, tied=True),
    "Qwen2.5-1.5B": _config("qwen2", 1536, 8960, 28, 12, 2, 151936, tied=True),
    "Qwen2.5-3B": _config("qwen2", 2048, 11008, 36, 16, 2, 151936, tied=True),
    "Qwen2.5-7B": _config("qwen2", 3584, 18944, 28, 28, 4, 152064, tied=False),
    "Qwen2.5-32B": _config("qwen2", 5120, 27648, 64, 40, 8, 152064, tied=False),
    "Qwen3-4B": _config("qwen3", 2560, 9728, 36, 32, 8, 151936, tied=True, head_dim=128),
    "deepseek-math-7b": _config("llama", 4096, 11008, 30, 32, 32, 102400, tied=False),
}
ALSO = {  # other weights in the same shape
    "Qwen2.5-0.5B-Instruct": "Qwen2.5-0.5B", "Qwen2.5-1.5B-Instruct": "Qwen2.5-1.5B",
    "Qwen2.5-7B-Instruct": "Qwen2.5-7B", "Qwen2.5-Math-7B": "Qwen2.5-7B",
    "Qwen2.5-32B-Instruct": "Qwen2.5-32B", "Qwen3-4B-Thinking-2507": "Qwen3-4B",
    "deepseek-math-7b-instruct": "deepseek-math-7b",
}  # fmt: skip


def shape_of(model: str) -> Shape:
    """The shape of a directory with a config.json, or of a known model, whoever its owner."""
    places = (Path(model) / inside / "config.json" for inside in (".", "final", "model"))
    file = next((place for place in places if place.is_file()), None)
    if file is not None:
        return from_config(_read(file), str(file))
    names = {name.lower(): name for name in (*KNOWN, *ALSO)}
    name = model.rpartition("/")[2].lower()
    if name not in names:
        raise ConfigurationError(
            f"A plan needs the shape of the model, but {model} is no directory with a config.json, "
            f"and no known model. {nearest(name, names)} Set --model to a directory (its weights "
            f"are not needed), or to one of {', '.join(KNOWN)}."
        )
    known = ALSO.get(names[name], names[name])
    return from_config(KNOWN[known], known)


def from_config(config: Mapping[str, Any], source: str) -> Shape:
    """The shape that a config.json describes."""
    kind = config.get("model_type")
    if kind not in TYPES:
        raise DataError(
            f"{source} describes a model of type {kind}, and a plan needs one of "
            f"{', '.join(TYPES)}: its formulas count dense decoders. Plan for one of these of like "
            "size, and take the numbers for a rough guide."
        )
    try:
        heads, hidden = config["num_attention_heads"], config["hidden_size"]
        kv_heads = config.get("num_key_value_heads") or heads
        head_dim = config.get("head_dim") or hidden // heads
        inner = (heads + 2 * kv_heads) * head_dim
        biases = inner if kind == "qwen2" else inner + hidden if config.get("attention_bias") else 0
        if config.get("mlp_bias"):
            biases += 2 * config["intermediate_size"] + hidden
        return Shape(
            hidden=hidden, intermediate=config["intermediate_size"],
            layers=config["num_hidden_layers"], heads=heads, kv_heads=kv_heads, head_dim=head_dim,
            vocabulary=config["vocab_size"], tied=bool(config.get("tie_word_embeddings", False)),
            head_norms=kind == "qwen3", biases=biases,
        )  # fmt: skip
    except KeyError as error:
        raise DataError(
            f"{source} has no {error.args[0]}, and a plan needs it, to count parameters. Complete "
            "the file as save_pretrained writes it."
        ) from None


def _read(file: Path) -> Mapping[str, Any]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(
            f"{file} needs to be a readable JSON file, to tell the model's shape, but: {error}. "
            "Save the model again with save_pretrained."
        ) from None
    if not isinstance(found, dict):
        raise DataError(
            f"{file} needs to be a JSON object, to tell the model's shape. Save the model again "
            "with save_pretrained."
        )
    return found
