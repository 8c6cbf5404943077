from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer, models
from torch.nn.functional import pad
from transformers import (
    AutoConfig,
    LlamaConfig,
    LlamaForCausalLM,
    MixtralConfig,
    MixtralForCausalLM,
    PreTrainedTokenizerFast,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from jumar.engines.local.lora import add_adapter
from jumar.engines.local.peft_layers import POLICY
from jumar.engines.settings import LoraSettings
from jumar.engines.vllm import weights
from jumar.engines.vllm.weights import write_adapter, write_model, write_weights
from jumar.errors import ConfigurationError

SMALL = {
    "vocab_size": 40, "hidden_size": 24, "intermediate_size": 16, "num_hidden_layers": 1,
    "num_attention_heads": 2, "num_key_value_heads": 1, "max_position_embeddings": 32,
}  # fmt: skip
TOKENIZER = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.WordLevel({"a": 0}, "a")))


def read(directory: Path) -> dict[str, torch.Tensor]:
    files = sorted(directory.glob("*.safetensors"))
    return {name: tensor for file in files for name, tensor in load_file(file).items()}


def saved_by_transformers(model: torch.nn.Module, directory: Path) -> dict[str, torch.Tensor]:
    model.save_pretrained(directory)
    return read(directory)


@pytest.mark.parametrize(
    "model",
    [
        Qwen3ForCausalLM(Qwen3Config(**SMALL, head_dim=32, tie_word_embeddings=False)),
        MixtralForCausalLM(MixtralConfig(**SMALL, head_dim=32, num_local_experts=2)),
    ],
    ids=["qwen3", "mixtral"],
)
def test_names_and_tensors_are_those_of_a_checkpoint(tmp_path, model):
    size = write_weights(model, tmp_path / "ours")
    ours, theirs = read(tmp_path / "ours"), saved_by_transformers(model, tmp_path / "theirs")
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert size == sum(tensor.nbytes for tensor in ours.values())


def test_a_large_model_is_cut_into_files(tmp_path, monkeypatch):
    monkeypatch.setattr(weights, "FILE", 2000)
    model = LlamaForCausalLM(LlamaConfig(**SMALL, head_dim=32))
    write_weights(model, tmp_path)
    assert len(list(tmp_path.iterdir())) > 3
    assert read(tmp_path).keys() == model.state_dict().keys()


def test_weights_keep_their_dtype(tmp_path):
    model = LlamaForCausalLM(LlamaConfig(**SMALL, head_dim=32)).bfloat16()
    write_weights(model, tmp_path)
    assert {tensor.dtype for tensor in read(tmp_path).values()} == {torch.bfloat16}


def test_heads_without_a_kernel_are_padded_with_zeros(tmp_path):
    config = LlamaConfig(**SMALL, head_dim=12, tie_word_embeddings=True)
    model = LlamaForCausalLM(config)
    write_model(model, TOKENIZER, tmp_path)
    written, found = AutoConfig.from_pretrained(tmp_path), read(tmp_path)
    assert (written.head_dim, written.rope_parameters["partial_rotary_factor"]) == (32, 12 / 32)
    attention = "model.layers.0.self_attn"
    scores = found[f"{attention}.q_proj.weight"].unflatten(0, (2, 32))
    own = model.state_dict()[f"{attention}.q_proj.weight"].unflatten(0, (2, 12))
    torch.testing.assert_close(scores[:, :12], own * (32 / 12) ** 0.5)
    assert not scores[:, 12:].any()
    output = found[f"{attention}.o_proj.weight"].unflatten(1, (2, 32))
    own = model.state_dict()[f"{attention}.o_proj.weight"].unflatten(1, (2, 12))
    assert torch.equal(output, pad(own, (0, 20)))


def test_an_adapter_is_padded_as_the_weights_beside_it(tmp_path):
    pytest.importorskip("peft")
    config = LlamaConfig(**SMALL, head_dim=12)
    model, whole = LlamaForCausalLM(config), LlamaForCausalLM(config)
    add_adapter(model, LoraSettings(rank=2, alpha=2), base="tiny", seed=0)
    attention, written = "layers.0.self_attn", {}
    for name in ("q_proj", "k_proj", "v_proj", "o_proj"):
        layer = model.get_submodule(f"model.{attention}.{name}")
        torch.nn.init.normal_(layer.lora_B[POLICY].weight)
        weight = whole.get_submodule(f"model.{attention}.{name}").weight
        weight.data = layer.get_delta_weight(POLICY)
    write_weights(whole, tmp_path / "whole")
    write_adapter(model, tmp_path / "adapter")
    written, found = read(tmp_path / "whole"), read(tmp_path / "adapter")
    for name in ("q_proj", "k_proj", "v_proj", "o_proj"):
        first, second = (
            found[f"base_model.model.model.{attention}.{name}.lora_{side}.weight"] for side in "AB"
        )
        torch.testing.assert_close(second @ first, written[f"model.{attention}.{name}.weight"])


def test_beside_an_adapter_the_base_is_written(tmp_path):
    pytest.importorskip("peft")
    model = LlamaForCausalLM(LlamaConfig(**SMALL, head_dim=32))
    write_weights(model, tmp_path / "before")
    add_adapter(model, LoraSettings(rank=2), base="tiny", seed=0)
    torch.nn.init.normal_(model.model.layers[0].mlp.up_proj.lora_B[POLICY].weight)
    write_weights(model, tmp_path / "after")
    before, after = read(tmp_path / "before"), read(tmp_path / "after")
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.skipif(torch.cuda.is_available(), reason="vLLM on a GPU has other kernels")
@pytest.mark.parametrize(
    "model",
    [
        LlamaForCausalLM(LlamaConfig(**SMALL, head_dim=12)).bfloat16(),
        Qwen3ForCausalLM(Qwen3Config(**SMALL, head_dim=12)),
    ],
    ids=["llama", "qwen3"],
)
def test_heads_that_would_end_vllm_are_refused_before_it_starts(tmp_path, model):
    with pytest.raises(ConfigurationError, match=r"heads of 12 .*float32.*choose another model"):
        write_model(model, TOKENIZER, tmp_path)


def test_a_weight_that_two_layers_share_is_written_for_both(tmp_path):
    model = LlamaForCausalLM(LlamaConfig(**SMALL, head_dim=32, tie_word_embeddings=True))
    write_weights(model, tmp_path)
    found = read(tmp_path)
    assert torch.equal(found["lm_head.weight"], found["model.embed_tokens.weight"])
