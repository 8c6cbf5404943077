import collections
import math

import pytest
import torch
from architectures import BUILDERS, VOCABULARY, random_model
from hypothesis import given, settings
from hypothesis import strategies as st

from jumar.engines.local import sampler
from jumar.engines.local.forward import response_logprobs
from jumar.engines.local.models import recompute_activations
from jumar.engines.local.sampler import Sampled, Sampling, sample
from jumar.errors import ConfigurationError, EngineError

PROMPTS = [[5, 6, 7, 8, 9, 10, 11], [3, 4], [20, 21, 22, 23], [30, 31, 32, 33]]
IDS = [101, 102, 103, 104]


def drawn(model, prompts=PROMPTS, ids=IDS, **changes) -> Sampled:
    options = {
        "group": 3,
        "sampling": Sampling(),
        "max_tokens": 12,
        "eos_ids": [1, 2],
        "pad_id": 0,
        "seed": 7,
    }
    return sample(model, prompts, ids, **{**options, **changes})


def repeated(prompts, group=3):
    return [prompt for prompt in prompts for _ in range(group)]


@pytest.mark.parametrize("name", BUILDERS)
@pytest.mark.parametrize(
    "sampling",
    [Sampling(), Sampling(temperature=0.7), Sampling(temperature=1.3, top_k=9, top_p=0.8)],
    ids=str,
)
def test_recorded_logprobs_equal_the_trainers_pass(name, sampling):
    model = random_model(name, spread=4.0)
    out = drawn(model, sampling=sampling)
    scored = response_logprobs(model, repeated(PROMPTS), out.token_ids, out.mask, sampling=sampling)
    torch.testing.assert_close(out.logprobs, scored.detach(), rtol=0.0, atol=1e-5)


@pytest.mark.parametrize("name", ["llama", "gemma2", "gpt2"])
def test_greedy_decoding_equals_a_plain_loop_without_cache_or_padding(name):
    # transformers' eager attention, which a soft cap needs, is float32 inside
    dtype = torch.float32 if name == "gemma2" else torch.float64
    model = random_model(name, spread=4.0, dtype=dtype)
    out = drawn(model, group=1, sampling=Sampling(temperature=0.0))
    for row, prompt in enumerate(PROMPTS):
        ids = list(prompt)
        for _ in range(12):
            with torch.no_grad():
                ids.append(int(model(torch.tensor([ids])).logits[0, -1].argmax()))
            if ids[-1] in (1, 2):
                break
        assert out.token_ids[row][out.mask[row]].tolist() == ids[len(prompt) :]
    assert out.logprobs.eq(0.0).all()


def test_rows_end_with_their_eos_and_the_eos_is_in_the_mask():
    out = drawn(random_model("llama", spread=1.0), group=16, max_tokens=30)
    for tokens, mask, truncated in zip(out.token_ids, out.mask, out.truncated, strict=True):
        length = int(mask.sum())
        assert mask[:length].all()
        assert not any(token in (1, 2) for token in tokens[: length - 1].tolist())
        assert (tokens[length - 1].item() in (1, 2)) != truncated.item()
        assert not truncated or length == 30
        assert tokens[length:].eq(0).all()
    assert 0 < out.truncated.sum() < 64
    assert out.mask.shape[1] == out.mask.sum(dim=1).max()


def test_padding_with_the_eos_token_keeps_every_eos_in_the_mask():
    model = random_model("llama", spread=1.0)
    apart, same = drawn(model, pad_id=0), drawn(model, pad_id=1)
    assert torch.equal(apart.mask, same.mask)
    assert torch.equal(apart.token_ids[apart.mask], same.token_ids[same.mask])
    assert torch.equal(apart.logprobs, same.logprobs)
    ended = ~same.truncated
    last = same.mask.sum(dim=1) - 1
    assert ended.any()
    assert torch.isin(same.token_ids[ended, last[ended]], torch.tensor([1, 2])).all()


def test_a_prompt_that_is_made_of_pad_tokens_is_read_like_any_other():
    model = random_model("llama")
    prompts = [[0, 0, 5, 0], [7, 8, 9, 10, 11, 12]]
    out = drawn(model, prompts, [1, 2])
    scored = response_logprobs(
        model, repeated(prompts), out.token_ids, out.mask, sampling=Sampling()
    )
    torch.testing.assert_close(out.logprobs, scored.detach(), rtol=0.0, atol=1e-5)


@settings(max_examples=20, deadline=None)
@given(order=st.permutations(range(4)), rows=st.integers(1, 13))
def test_row_order_and_block_size_change_no_response(order, rows):
    model = random_model("qwen3", dtype=torch.float64)
    whole = drawn(model)
    moved = drawn(model, [PROMPTS[i] for i in order], [IDS[i] for i in order], rows=rows)
    for place, i in enumerate(order):
        old, new = slice(3 * i, 3 * i + 3), slice(3 * place, 3 * place + 3)
        assert torch.equal(whole.token_ids[old], moved.token_ids[new])
        torch.testing.assert_close(whole.logprobs[old], moved.logprobs[new])


def test_seed_step_prompt_and_sample_number_each_change_the_draws():
    model = random_model("llama", spread=1.0)
    first = drawn(model)
    assert torch.equal(first.token_ids, drawn(model).token_ids)
    for change in ({"seed": 8}, {"step": 1}, {"ids": [1, 2, 3, 4]}):
        assert not torch.equal(first.token_ids, drawn(model, **change).token_ids)
    assert not torch.equal(first.token_ids[0], first.token_ids[1])


def test_a_longer_limit_extends_responses_and_changes_none_of_their_tokens():
    model = random_model("llama", spread=1.0)
    short, long = drawn(model, max_tokens=5), drawn(model, max_tokens=20)
    shared = short.mask
    assert torch.equal(short.token_ids[shared], long.token_ids[:, :5][shared])


def test_a_prompt_that_occurs_twice_gets_new_samples_the_second_time():
    model = random_model("llama", spread=1.0)
    out = drawn(model, [PROMPTS[0], PROMPTS[1], PROMPTS[0]], [101, 102, 101], group=2)
    six = drawn(model, [PROMPTS[0]], [101], group=4)
    assert out.sample_ids.tolist() == [0, 1, 0, 1, 2, 3]
    assert torch.equal(out.token_ids[[0, 1, 4, 5]], six.token_ids)


def test_tokens_are_drawn_with_their_probabilities():
    model = random_model("llama", spread=3.0)
    sampling = Sampling(temperature=1.5, top_k=6)
    out = drawn(model, [[5, 6]], [1], group=4000, max_tokens=1, sampling=sampling, eos_ids=[1])
    counts = collections.Counter(out.token_ids[:, 0].tolist())
    probs = dict(zip(out.token_ids[:, 0].tolist(), out.logprobs[:, 0].exp().tolist(), strict=True))
    assert len(counts) == 6
    assert sum(probs.values()) == pytest.approx(1.0, abs=1e-5)
    for token, count in counts.items():
        p = probs[token]
        assert abs(count / 4000 - p) < 5 * math.sqrt(p * (1 - p) / 4000)


def test_a_token_outside_top_k_is_never_drawn():
    model = random_model("llama", spread=1.0)
    out = drawn(model, group=200, max_tokens=1, sampling=Sampling(top_k=2))
    for row in out.token_ids.view(4, 200):
        assert len(set(row.tolist())) <= 2


def test_the_prompts_go_through_the_model_once_and_finished_rows_not_at_all():
    model = random_model("llama", spread=1.0)
    shapes = []
    model.model.embed_tokens.register_forward_hook(
        lambda _m, args, _o: shapes.append(args[0].shape)
    )
    out = drawn(model, group=8, max_tokens=20)
    assert shapes[0] == (4, 7)
    live = [int((out.mask.sum(dim=1) > t).sum()) for t in range(1, out.mask.shape[1])]
    assert [tuple(shape) for shape in shapes[1:]] == [(n, 1) for n in live if n]
    assert live[-1] < 32


def test_each_response_is_told_of_once_with_its_tokens_when_it_has_ended():
    model, told = random_model("llama", spread=1.0), []
    out = drawn(model, group=16, rows=20, ended=lambda row, ids: told.append((row, list(ids))))
    assert 0 < out.truncated.sum() < 64
    assert sorted(row for row, _ in told) == list(range(64))
    for row, ids in told:
        assert ids == out.token_ids[row][out.mask[row]].tolist()
    first_block = [len(ids) for row, ids in told if row in {row for row, _ in told[:20]}]
    assert first_block == sorted(first_block)


def test_the_mode_and_the_gradients_of_the_model_are_left_alone():
    model = random_model("llama").train()
    out = drawn(model)
    assert model.training
    scored = response_logprobs(
        model, repeated(PROMPTS), out.token_ids, out.mask, sampling=Sampling()
    )
    (scored * out.logprobs).sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_a_model_that_recomputes_activations_can_sample():
    model = random_model("llama", spread=1.0)
    plain = drawn(model)
    recompute_activations(model)
    assert torch.equal(drawn(model).token_ids, plain.token_ids)
    assert model.training


def test_a_wide_head_is_gone_through_a_few_rows_at_a_time(monkeypatch):
    model = random_model("llama", spread=1.0)
    whole = drawn(model)
    monkeypatch.setattr(sampler, "LOGITS_AT_ONCE", 100)
    parts = drawn(model)
    assert torch.equal(whole.token_ids, parts.token_ids)
    torch.testing.assert_close(whole.logprobs, parts.logprobs)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_broken_weights_are_one_clear_error(temperature):
    model = random_model("llama")
    with torch.no_grad():
        model.lm_head.weight[3] = torch.nan
    with pytest.raises(EngineError, match="probabilities that are NaN"):
        drawn(model, sampling=Sampling(temperature=temperature))


def test_a_prompt_and_response_beyond_the_models_positions_are_refused():
    with pytest.raises(ConfigurationError, match=r"7 tokens.*90 response tokens.*96 tokens"):
        drawn(random_model("gpt2"), max_tokens=90)


@pytest.mark.parametrize("bad", [{"temperature": -1.0}, {"top_k": -1}, {"top_p": 0.0}])
def test_a_distribution_that_is_none_is_refused(bad):
    with pytest.raises(ConfigurationError, match="Change the value"):
        Sampling(**bad)


def test_only_tokens_of_the_vocabulary_are_drawn():
    out = drawn(random_model("llama", spread=1.0), group=64, sampling=Sampling(temperature=1000.0))
    assert out.token_ids.min() >= 0
    assert out.token_ids.max() < VOCABULARY
