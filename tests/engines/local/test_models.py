import json
import shutil

import pytest
import torch
from architectures import BUILDERS, random_model
from tokenizers_for_tests import tokenizer
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    BertConfig,
    BertLMHeadModel,
    GPT2Config,
    GPT2LMHeadModel,
    MambaConfig,
    MambaForCausalLM,
)

from jumar.engines.local.checkpoint import replace_directory
from jumar.engines.local.forward import response_values
from jumar.engines.local.models import (
    backbone,
    context_length,
    lm_head,
    load_critic,
    load_model,
    new_critic,
    recompute_activations,
    save_model,
)
from jumar.errors import ConfigurationError, DataError, EngineError

IDS = torch.tensor([[5, 6, 7, 8], [9, 10, 11, 12]])


def saved(path, name="llama", **options):
    """A Hugging Face directory of a random model whose vocabulary fits the test tokenizer."""
    model = random_model(name, **options)
    model.resize_token_embeddings(64)
    save_model(model, tokenizer(), path)
    return model


@pytest.mark.parametrize("name", BUILDERS)
def test_backbone_and_head_give_the_models_own_logits(name):
    model = random_model(name, spread=3.0)
    with torch.no_grad():
        hidden = backbone(model)(input_ids=IDS, use_cache=False).last_hidden_state
        logits = lm_head(model).logits(hidden)
        torch.testing.assert_close(logits, model(IDS).logits, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", BUILDERS)
def test_a_saved_model_loads_with_the_same_weights_in_jumar_and_in_transformers(name, tmp_path):
    model = saved(tmp_path, name)
    ours, own = load_model(tmp_path)
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path)
    for key, value in model.state_dict().items():
        assert torch.equal(ours.state_dict()[key], value)
        assert torch.equal(theirs.state_dict()[key], value)
    assert not ours.training
    assert own.get_vocab() == AutoTokenizer.from_pretrained(tmp_path).get_vocab()


def test_a_published_model_directory_loads(tmp_path):
    model = random_model("llama")
    model.resize_token_embeddings(64)
    replace_directory(tmp_path / "best", lambda path: save_model(model, tokenizer(), path))
    loaded, _ = load_model(tmp_path / "best")
    assert torch.equal(loaded(IDS).logits, model(IDS).logits)


def test_models_come_without_dropout(tmp_path):
    config = GPT2Config(vocab_size=64, n_embd=32, n_layer=1, n_head=4, n_positions=32)
    assert config.resid_pdrop == 0.1
    save_model(GPT2LMHeadModel(config), tokenizer(), tmp_path)
    model, _ = load_model(tmp_path)
    model.train()
    assert torch.equal(model(IDS).logits, model(IDS).logits)


def test_dtype_and_attention_are_those_asked_for(tmp_path):
    saved(tmp_path)
    model, _ = load_model(tmp_path, dtype="bfloat16", attention="eager")
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}
    assert model.config._attn_implementation == "eager"
    with pytest.raises(ConfigurationError, match="float32, bfloat16, float16"):
        load_model(tmp_path, dtype="int8")


def test_gradient_checkpointing_can_be_asked_for(tmp_path):
    saved(tmp_path)
    model, _ = load_model(tmp_path, gradient_checkpointing=True)
    assert model.model.layers[0].gradient_checkpointing
    assert model.training


def broken(path, harm):
    saved(path)
    weights, config = path / "model.safetensors", path / "config.json"
    if harm == "no config":
        config.unlink()
    elif harm == "no weights":
        weights.unlink()
    elif harm == "pickled weights":
        weights.rename(path / "pytorch_model.bin")
    elif harm == "cut weights":
        weights.write_bytes(weights.read_bytes()[:-100])
    elif harm == "missing weights":
        layers = json.loads(config.read_text())
        config.write_text(json.dumps({**layers, "num_hidden_layers": 3}))
    elif harm == "other shapes":
        sizes = json.loads(config.read_text())
        config.write_text(json.dumps({**sizes, "intermediate_size": 65}))
    elif harm == "broken config":
        config.write_text("{")
    elif harm == "unknown architecture":
        config.write_text('{"model_type": "nobody-knows"}')
    elif harm == "code":
        text = json.loads(config.read_text())
        text |= {
            "model_type": "mine",
            "auto_map": {"AutoConfig": "evil.C", "AutoModelForCausalLM": "evil.M"},
        }
        config.write_text(json.dumps(text))
        (path / "evil.py").write_text("open('ran', 'w')")
    elif harm == "no tokenizer":
        for file in path.glob("tokenizer*"):
            file.unlink()
    elif harm == "another tokenizer":
        model = random_model("llama")
        model.resize_token_embeddings(20)
        model.save_pretrained(path)


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        ("no config", "has no config.json"),
        ("no weights", "has no weights"),
        ("pickled weights", "has no weights"),
        ("cut weights", "cannot be loaded as a causal language model"),
        ("missing weights", "lacks 9 of its weights"),
        ("other shapes", "cannot be loaded as a causal language model"),
        ("broken config", "cannot be loaded as a causal language model"),
        ("unknown architecture", "cannot be loaded as a causal language model"),
        ("code", "cannot be loaded as a causal language model"),
        ("no tokenizer", "has no tokenizer"),
        ("another tokenizer", "has a tokenizer of 5[0-9] tokens, but a model of 20"),
    ],
)
def test_a_directory_that_is_no_model_is_one_clear_message(tmp_path, monkeypatch, harm, message):
    monkeypatch.chdir(tmp_path)
    broken(tmp_path / "model", harm)
    with pytest.raises(DataError, match=message) as caught:
        load_model(tmp_path / "model")
    assert "\n" not in str(caught.value)
    assert "Check the path or the name" in str(caught.value)
    assert not (tmp_path / "ran").exists()


def test_paths_that_are_no_directory_are_not_looked_up_on_the_hub(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        load_model(tmp_path / "nothing")
    with pytest.raises(DataError, match="does not exist"):
        load_model("./nothing")
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="is a file"):
        load_model(tmp_path / "file")


def test_a_hub_name_that_cannot_be_reached_is_one_clear_message(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(DataError, match="'nobody/nothing' cannot be loaded"):
        load_model("nobody/nothing")


def test_a_model_that_looks_ahead_is_refused(tmp_path):
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4}
    config = BertConfig(vocab_size=64, intermediate_size=32, **sizes)
    save_model(BertLMHeadModel(config), tokenizer(), tmp_path)
    with pytest.raises(DataError, match=r"transforms its logits|no causal model"):
        load_model(tmp_path)


def test_a_recurrent_model_is_refused(tmp_path):
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "state_size": 4}
    save_model(MambaForCausalLM(MambaConfig(vocab_size=64, **sizes)), tokenizer(), tmp_path)
    with pytest.raises(DataError, match="recurrent layers"):
        load_model(tmp_path)


def test_the_context_length_is_the_configs():
    assert context_length(random_model("llama")) == 96
    assert context_length(random_model("gpt2")) == 96
    assert context_length(random_model("bloom")) is None


@pytest.mark.parametrize("name", ["llama", "llama_tied", "qwen3", "gpt2", "gemma2"])
def test_a_critic_starts_as_the_policys_backbone_with_value_zero(name, tmp_path):
    policy = random_model(name)
    before = torch.get_rng_state()
    critic = new_critic(policy)
    assert torch.equal(before, torch.get_rng_state())
    prompts, mask = [[5, 6], [7, 8]], torch.ones(2, 4, dtype=torch.bool)
    assert response_values(critic, prompts, IDS, mask).eq(0.0).all()
    for key, value in backbone(policy).state_dict().items():
        assert torch.equal(backbone(critic).state_dict()[key], value)
    assert policy.config.num_labels == 2


@pytest.mark.parametrize("checkpointing", [False, True])
def test_a_critic_recomputes_activations_if_its_policy_does(checkpointing):
    policy = random_model("llama")
    if checkpointing:
        recompute_activations(policy)
    critic, calls = new_critic(policy), []
    critic.model.layers[0].input_layernorm.register_forward_hook(lambda *_: calls.append(1))
    torch.nn.init.ones_(critic.score.weight)
    mask = torch.ones(2, 4, dtype=torch.bool)
    response_values(critic, [[5, 6], [7, 8]], IDS, mask).sum().backward()
    assert len(calls) == (2 if checkpointing else 1)


def test_a_critic_is_saved_and_loaded_as_a_plain_directory(tmp_path):
    policy = random_model("llama")
    critic = new_critic(policy)
    torch.nn.init.normal_(critic.score.weight)
    save_model(critic, tokenizer(), tmp_path)
    loaded = load_critic(tmp_path, policy)
    for key, value in critic.state_dict().items():
        assert torch.equal(loaded.state_dict()[key], value)
    shutil.rmtree(tmp_path)
    with pytest.raises(DataError, match="cannot be loaded as a critic"):
        load_critic(tmp_path, policy)


def test_an_architecture_without_value_model_is_refused():
    with pytest.raises(EngineError, match="transformers has none for 'cohere'"):
        new_critic(random_model("cohere"))


def test_loading_and_saving_print_nothing(tmp_path, capfd):
    saved(tmp_path)
    load_model(tmp_path)
    out, err = capfd.readouterr()
    assert out == err == ""
