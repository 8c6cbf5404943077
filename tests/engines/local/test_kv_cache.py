import pytest
import torch
from architectures import random_model
from hypothesis import given
from hypothesis import strategies as st
from transformers import (
    DeepseekV3Config,
    DeepseekV3ForCausalLM,
    DiffLlamaConfig,
    DiffLlamaForCausalLM,
    DynamicCache,
    LlamaConfig,
    LlamaForCausalLM,
)
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

from jumar.engines.local import kv_cache
from jumar.engines.local.forward import response_logprobs
from jumar.engines.local.kv_cache import ROOM, ResponseCache, RoomyLayer, SharedPrompts
from jumar.engines.local.packing import pack, packs, shares
from jumar.engines.local.sampler import Sampling, sample


def states(draw, rows, tokens):
    return torch.randn(rows, 2, tokens, 3, generator=draw)


def cache_of(layer):
    cache = DynamicCache()
    cache.layers = [layer]
    return cache


def repeated(cache, prompt):
    return ResponseCache.of(cache, prompt, None, most=9, share=False)


@given(seed=st.integers(0, 10_000), prompt=st.integers(1, 5), tokens=st.integers(1, 2 * ROOM))
def test_keys_and_values_are_those_of_the_plain_cache_after_any_drops(seed, prompt, tokens):
    draw = torch.Generator().manual_seed(seed)
    plain, roomy = cache_of(DynamicLayer()), cache_of(DynamicLayer())
    first = states(draw, 3, prompt), states(draw, 3, prompt)
    for cache in (plain, roomy):
        cache.update(*first, 0)
    member = torch.tensor([2, 0, 0, 1, 2, 1, 1])
    plain.batch_select_indices(member)
    responses = repeated(roomy, member)
    assert isinstance(roomy.layers[0], RoomyLayer)
    for _ in range(tokens):
        rows = roomy.layers[0].keys.shape[0]
        going = torch.rand(rows, generator=draw) > 0.02
        going[0] = True
        if not going.all():
            order = responses.drop(going)
            assert sorted(order.tolist()) == going.nonzero()[:, 0].tolist()
            plain.batch_select_indices(order)
            rows = len(order)
        new = states(draw, rows, 1), states(draw, rows, 1)
        for left, right in zip(plain.update(*new, 0), roomy.update(*new, 0), strict=True):
            assert torch.equal(left, right)
    assert roomy.get_seq_length() == plain.get_seq_length() == prompt + tokens


def test_sliding_windows_keep_their_own_layer():
    draw = torch.Generator().manual_seed(0)
    cache = cache_of(DynamicSlidingWindowLayer(sliding_window=4))
    cache.update(states(draw, 2, 3), states(draw, 2, 3), 0)
    responses = repeated(cache, torch.tensor([0, 0, 1]))
    layer = cache.layers[0]
    assert isinstance(layer, DynamicSlidingWindowLayer)
    before = layer.keys.clone()
    assert responses.drop(torch.tensor([False, True, True])).tolist() == [2, 1]
    assert torch.equal(layer.keys, before[[2, 1]])


def test_a_token_is_written_in_place_while_there_is_room():
    draw = torch.Generator().manual_seed(0)
    layer = RoomyLayer(states(draw, 2, 3), states(draw, 2, 3))
    places = set()
    for _ in range(ROOM):
        keys, _ = layer.update(states(draw, 2, 1), states(draw, 2, 1))
        places.add(keys.data_ptr())
    assert len(places) == 1


# ---------------------------------------------------------------------- prompts that are held once

FULL = ["llama", "llama_tied", "qwen2", "qwen3", "gemma", "mistral", "gpt2", "granite", "cohere"]
UNLIKE = [[5, 6, 7, 8, 9, 10], [3], [20, 21, 22, 23], [11, 12]]


def sampled(model, prompts, eos):
    return sample(
        model, prompts, range(len(prompts)), group=6, sampling=Sampling(), max_tokens=12,
        eos_ids=eos, pad_id=0, seed=3,
    )  # fmt: skip


def shared_and_repeated(monkeypatch, model, prompts, eos):
    """What is drawn when every prompt is held once, and when each is repeated."""
    found, uses = [], []
    attention = SharedPrompts.attention
    monkeypatch.setattr(
        SharedPrompts, "attention", lambda *given: uses.append(given) or attention(*given)
    )
    for worth in (1, 10**9):
        monkeypatch.setattr(kv_cache, "WORTH", worth)
        uses.clear()
        found.append(sampled(model, prompts, eos))
        assert bool(uses) == (worth == 1)
    return found


@pytest.mark.parametrize("prompts", [UNLIKE, [[4, 5, 6]] * 3], ids=["padded", "one length"])
@pytest.mark.parametrize("name", FULL)
def test_a_prompt_that_is_held_once_gives_what_repeated_ones_give(monkeypatch, name, prompts):
    model = random_model(name, spread=2.0, dtype=torch.float64)
    pack(model)
    assert shares(model)
    once, each = shared_and_repeated(monkeypatch, model, prompts, eos=range(1, 9))
    assert once.mask.sum(dim=1).unique().numel() > 3  # rows left at many places
    assert torch.equal(once.token_ids, each.token_ids)
    torch.testing.assert_close(once.logprobs, each.logprobs, rtol=1e-5, atol=1e-5)


def test_prompts_that_nobody_continues_any_more_leave():
    keys = torch.randn(4, 2, 5, 3)
    cache = cache_of(DynamicLayer())
    cache.update(keys, keys, 0)
    shared = SharedPrompts.of(cache, torch.tensor([0, 1, 1, 2, 3]), None)
    assert cache.layers[0].keys.shape == (5, 2, 0, 3)
    shared.drop(torch.tensor([0, 1, 2, 4]))  # 2 has gone; three of four are too many to copy
    assert shared.layers[0][0].shape[0] == 4
    shared.drop(torch.tensor([3, 1, 2]))
    assert torch.equal(shared.layers[0][0], keys[[1, 3]])
    assert shared.prompt.tolist() == [1, 0, 0]
    assert (shared.group, shared.place.tolist()) == (2, [2, 0, 1])
    shared.drop(torch.tensor([], dtype=torch.long))
    assert len(shared.prompt) == 0


def test_weights_of_half_precision_have_their_prompts_repeated(monkeypatch):
    model = random_model("llama", spread=2.0, dtype=torch.bfloat16)
    pack(model)
    assert shares(model)
    monkeypatch.setattr(kv_cache, "WORTH", 1)
    monkeypatch.delattr(SharedPrompts, "attention")
    assert sampled(model, UNLIKE, eos=[1]).logprobs.isfinite().all()


SMALL = {
    "vocab_size": 48, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 4, "max_position_embeddings": 128,
}  # fmt: skip
LATENT = {
    "moe_intermediate_size": 16, "n_routed_experts": 4, "n_group": 1, "topk_group": 1,
    "num_experts_per_tok": 2, "kv_lora_rank": 16, "q_lora_rank": None, "qk_rope_head_dim": 8,
    "v_head_dim": 16, "qk_nope_head_dim": 16, "first_k_dense_replace": 2, "pad_token_id": 0,
    "bos_token_id": 1, "eos_token_id": 1,
}  # fmt: skip
OTHERS = {  # attention that is read twice, and a cache of something else than keys
    "twice": lambda: DiffLlamaForCausalLM(DiffLlamaConfig(**SMALL)),
    "latent": lambda: DeepseekV3ForCausalLM(DeepseekV3Config(**SMALL, **LATENT)),
}


@pytest.mark.parametrize("name", OTHERS)
def test_a_model_whose_attention_reads_something_else_than_its_cache_repeats_prompts(name):
    torch.manual_seed(0)
    model = OTHERS[name]().eval()
    for weight in model.parameters():
        if weight.dim() > 1:
            weight.data.mul_(2.0)
    pack(model)
    assert packs(model)
    assert not shares(model)
    prompt = list(range(2, 42)) * 2
    out = sample(
        model, [prompt], [0], group=64, sampling=Sampling(), max_tokens=4, eos_ids=[1], pad_id=0,
        seed=0,
    )  # fmt: skip
    with torch.no_grad():
        found = response_logprobs(
            model, [prompt] * 64, out.token_ids, out.mask, sampling=Sampling()
        )
    torch.testing.assert_close(out.logprobs, found, rtol=0, atol=1e-4)


def test_a_vocabulary_of_a_few_tokens_can_be_tried():
    config = LlamaConfig(**{**SMALL, "vocab_size": 6})
    model = LlamaForCausalLM(config)
    pack(model)
    assert shares(model)
