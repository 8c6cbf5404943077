"""Parameters against transformers' own models and against the numbers on their cards."""

import json
from pathlib import Path

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForTokenClassification

from jumar.config import load
from jumar.engines.local.tiny import RECIPE, _new_model
from jumar.errors import ConfigurationError, DataError
from jumar.planning.shapes import ALSO, KNOWN, TYPES, from_config, shape_of
from jumar.recipes import names


def counted(model: torch.nn.Module) -> int:
    return sum(weight.numel() for weight in model.parameters())


def config_of(numbers: dict) -> AutoConfig:
    more = dict(numbers)
    return AutoConfig.for_model(more.pop("model_type"), **more)


@pytest.mark.parametrize("name", KNOWN)
def test_parameters_are_those_of_transformers_model(name: str) -> None:
    shape = shape_of(name)
    with torch.device("meta"):
        assert shape.parameters == counted(AutoModelForCausalLM.from_config(config_of(KNOWN[name])))


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("tied", [True, False])
def test_parameters_of_every_known_type_with_odd_sizes(kind: str, tied: bool) -> None:
    numbers = {
        "model_type": kind, "hidden_size": 48, "intermediate_size": 100, "num_hidden_layers": 3,
        "num_attention_heads": 6, "num_key_value_heads": 2, "head_dim": 10, "vocab_size": 77,
        "tie_word_embeddings": tied,
    }  # fmt: skip
    if kind == "qwen2":
        del numbers["head_dim"]
    if kind == "llama":
        numbers |= {"attention_bias": True, "mlp_bias": True}
    config = config_of(numbers)
    model = AutoModelForCausalLM.from_config(config)
    shape = from_config(config.to_dict(), "here")
    assert shape.parameters == counted(model)
    assert shape.layer == counted(model.model.layers[0])
    config.num_labels = 1
    assert shape.critic_parameters == counted(AutoModelForTokenClassification.from_config(config))


@pytest.mark.parametrize(
    ("name", "billions", "without_embedding"),
    [
        ("Qwen2.5-0.5B", 0.49, 0.36), ("Qwen2.5-1.5B", 1.54, 1.31), ("Qwen2.5-3B", 3.09, 2.77),
        ("Qwen2.5-7B", 7.61, 6.53), ("Qwen2.5-32B", 32.5, 31.0), ("Qwen3-4B", 4.0, 3.6),
        ("deepseek-math-7b", 6.91, None),
    ],
)  # fmt: skip
def test_parameters_are_those_on_the_models_card(
    name: str, billions: float, without_embedding: float | None
) -> None:
    shape = shape_of(name)
    assert shape.parameters / 1e9 == pytest.approx(billions, rel=0.01)
    if without_embedding is not None:
        inside = shape.layers * shape.layer / 1e9
        assert inside == pytest.approx(without_embedding, rel=0.02)


def test_the_tiny_model_is_the_one_that_is_built() -> None:
    assert shape_of("tiny").parameters == counted(_new_model(RECIPE["vocabulary"]))


def test_an_adapter_on_every_matrix_by_hand() -> None:
    """q, o: 2560 + 4096; k, v: 2560 + 1024; gate, up, down: 2560 + 9728 inputs and outputs."""
    per_layer = 2 * 6656 + 2 * 3584 + 3 * 12288
    assert shape_of("Qwen3-4B").adapter_parameters(16) == 36 * 16 * per_layer == 33_030_144


def test_cache_and_operations_of_a_token_by_hand() -> None:
    shape = shape_of("Qwen2.5-7B")
    assert shape.cache_bytes(2) == 2 * 28 * 4 * 128 * 2 == 57_344
    matrices = 28 * (2 * 3584 * 3584 + 2 * 3584 * 512 + 3 * 3584 * 18944)
    assert shape.body_flops(1, 0) == 2 * matrices
    # the last of n tokens looks back at n, the first at 1: half of 4 n (heads x width) on average
    assert shape.body_flops(1, 1000) - shape.body_flops(1, 0) == 28 * 2 * 1000 * 3584
    assert shape.head_flops(1) == 2 * 3584 * 152064


def test_every_bundled_recipe_names_a_model_that_is_known() -> None:
    for name in names():
        assert shape_of(load(name).model).parameters
    assert set(ALSO.values()) <= KNOWN.keys()


def test_a_directory_a_run_and_a_hub_name(tmp_path: Path) -> None:
    numbers = {**KNOWN["Qwen2.5-0.5B"], "num_hidden_layers": 2}
    (tmp_path / "final").mkdir()
    (tmp_path / "final" / "config.json").write_text(json.dumps(numbers))
    for model in (tmp_path, tmp_path / "final"):
        assert shape_of(str(model)).layers == 2
    assert shape_of("Qwen/qwen2.5-math-7b") == shape_of("Qwen2.5-7B")


def test_what_is_no_model_is_refused_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"Did you mean qwen2\.5-7b.*Set --model to"):
        shape_of("Qwen/Qwen25-7B")
    file = tmp_path / "config.json"
    for text, words in (
        (json.dumps({"model_type": "mixtral"}), "of type mixtral, and a plan needs one of llama"),
        (json.dumps({"model_type": "llama", "hidden_size": 8}), "has no num_attention_heads"),
        ("{", "readable JSON"),
        ("[]", "a JSON object"),
    ):
        file.write_text(text)
        with pytest.raises(DataError, match=words):
            shape_of(str(tmp_path))
