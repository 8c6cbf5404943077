"""What is drawn, from which distribution, and what is reported of it."""

import numpy as np
import pytest
import torch
from letters import EOS
from sides import LONGEST, PROMPTS, TRUNCATED, drawn, gaps, sampler_with, texts

from jumar.engines.local.forward import response_hidden
from jumar.engines.local.models import lm_head, load_model
from jumar.engines.local.sampler import LocalSampler, Sampling
from jumar.engines.vllm.in_process import InProcess
from jumar.engines.vllm.weights import write_model
from jumar.errors import ConfigurationError
from jumar.ops.logprobs import processed_logits


@pytest.fixture
def sampler(engine, model, tmp_path):
    sampler = sampler_with(engine, tmp_path)
    sampler.synchronise(model)
    return sampler


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(),
        Sampling(temperature=0.6),
        Sampling(temperature=1.5),
        Sampling(top_p=0.7),
        Sampling(top_k=4),
        TRUNCATED,
    ],
    ids=str,
)
def test_reported_logprobs_are_those_of_the_distribution_drawn_from(sampler, model, sampling):
    sampled = drawn(sampler, model, sampling=sampling)
    found = gaps(model, sampled, sampling)
    assert len(found) > 300
    assert found.max() < 1e-4
    assert torch.isfinite(sampled.logprobs).all()


@pytest.mark.parametrize("sampling", [Sampling(), TRUNCATED], ids=str)
def test_tokens_come_with_their_exact_probabilities(sampler, model, sampling):
    count, prompt = 1500, PROMPTS[:1]
    sampled = drawn(sampler, model, prompts=prompt, group=count, sampling=sampling, max_tokens=1)
    with torch.no_grad():
        first = response_hidden(model, prompt, torch.tensor([[EOS]]), torch.tensor([[True]]))
        logits = processed_logits(
            lm_head(model).logits(first), sampling.temperature, sampling.top_k, sampling.top_p
        )
    exact = logits[0].softmax(dim=-1).double().numpy()
    seen = np.bincount(sampled.token_ids[:, 0].numpy(), minlength=len(exact)) / count
    assert not seen[exact == 0].any()
    assert (np.abs(seen - exact) <= 4.5 * np.sqrt(exact * (1 - exact) / count)).all()


def test_a_response_ends_with_its_eos_or_is_marked_as_cut(sampler, model):
    sampled = drawn(sampler, model, sampling=Sampling(), group=16)
    rows = texts(sampled)
    assert {EOS in row for row in rows} == {True, False}
    for row, cut in zip(rows, sampled.truncated.tolist(), strict=True):
        assert EOS not in row[:-1]
        assert cut == (row[-1] != EOS)
        assert len(row) == LONGEST if cut else len(row) <= LONGEST


def test_every_eos_of_the_policy_ends_a_response(sampler, model):
    ends = (EOS, 5)
    sampled = drawn(sampler, model, sampling=Sampling(), group=16, eos_ids=ends)
    rows = texts(sampled)
    assert {row[-1] for row, cut in zip(rows, sampled.truncated, strict=True) if not cut} == {*ends}
    assert not any(token in ends for row in rows for token in row[:-1])


def test_a_draw_is_a_function_of_seed_step_prompt_and_sample(sampler, model):
    first = texts(drawn(sampler, model))
    turned = texts(drawn(sampler, model, order=[5, 4, 3, 2, 1, 0]))
    again = [row for i in range(6) for row in turned[(5 - i) * 8 : (6 - i) * 8]]
    assert again == first
    alone = texts(drawn(sampler, model, order=[2], group=3))
    assert alone == first[16:19]
    assert len(set(first)) > 40
    assert texts(drawn(sampler, model, step=2)) != first
    assert texts(drawn(sampler, model, seed=1)) != first


def test_a_prompt_that_occurs_twice_gets_other_responses(sampler, model):
    sampled = drawn(sampler, model, order=[2, 2], group=4)
    assert sampled.sample_ids.tolist() == list(range(8))
    assert len(set(texts(sampled))) == 8


def test_greedy_decoding_is_that_of_the_local_sampler(sampler, model):
    options = {
        "group": 1, "sampling": Sampling(temperature=0.0), "max_tokens": LONGEST,
        "eos_ids": [EOS], "pad_id": 0, "seed": 0, "step": 0,
    }  # fmt: skip
    ours = sampler.sample(model, PROMPTS, range(6), **options)
    local = LocalSampler(64).sample(model, PROMPTS, range(6), **options)
    assert texts(ours) == texts(local)
    assert not ours.logprobs.any()


def test_an_argument_reaches_vllm_which_refuses_what_it_does_not_know(letters, tmp_path):
    write_model(*load_model(letters), tmp_path)
    with pytest.raises(
        ConfigurationError, match=r"refuses its settings .*no_such.*vllm\.arguments"
    ):
        InProcess(tmp_path, dtype="float32", room=40, arguments={"no_such": 1})
