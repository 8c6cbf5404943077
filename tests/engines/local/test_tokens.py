import types

import pytest
import torch
from architectures import random_model
from hypothesis import given
from hypothesis import strategies as st
from tokenizers_for_tests import CHARACTERS, CHAT, NO_SYSTEM, tokenizer

from jumar.engines.local.sampler import Sampling, sample
from jumar.engines.local.tokens import Prompts, eos_ids
from jumar.errors import ConfigurationError, DataError
from jumar.tasks.task import Example, PromptTemplate

QUESTION = Example(prompt="2 + 3 = ?", answer="5")


def generation_config(eos):
    return types.SimpleNamespace(eos_token_id=eos)


def prompts(own=None, template=PromptTemplate(), **options) -> Prompts:  # noqa: B008
    options = {"generation_config": generation_config(1), "max_tokens": 200, **options}
    return Prompts(own if own is not None else tokenizer(), template, **options)


def as_text(coded: Prompts, example=QUESTION) -> str:
    return coded.tokenizer.decode(coded.encode(example), skip_special_tokens=False)


def test_without_a_chat_template_a_prompt_is_plain_text():
    assert as_text(prompts()) == "2 + 3 = ?"
    template = PromptTemplate(system="add them.", user="what is {prompt}")
    assert as_text(prompts(template=template)) == "add them.\nwhat is 2 + 3 = ?"


@pytest.mark.parametrize("eos_added", [False, True])
@pytest.mark.parametrize("bos", [False, True])
def test_plain_text_gets_the_bos_that_its_tokenizer_puts_and_never_an_eos(bos, eos_added):
    ids = prompts(tokenizer(bos=bos, eos_added=eos_added)).encode(QUESTION)
    assert ids.count(0) == int(bos)
    assert (ids[0] == 0) == bos
    assert 1 not in ids


def test_a_chat_template_writes_the_prompt_up_to_the_answer():
    coded = prompts(tokenizer(chat=CHAT, bos=True), PromptTemplate(system="add."))
    assert as_text(coded) == (
        "<|im_start|>system\nadd.<|im_end|>\n<|im_start|>user\n2 + 3 = ?<|im_end|>\n"
        "<|im_start|>assistant\n"
    )
    assert coded.encode(QUESTION).count(3) == 3


def test_the_configured_system_prompt_replaces_the_tasks():
    coded = prompts(tokenizer(chat=CHAT), PromptTemplate(system="add."), system_prompt="think.")
    assert "think." in as_text(coded)
    assert "add." not in as_text(coded)


def test_a_configured_template_replaces_the_tokenizers_and_an_empty_one_means_plain_text():
    own = tokenizer(chat=CHAT)
    assert as_text(prompts(own, chat_template="[{{ messages[0].content }}]")) == "[2 + 3 = ?]"
    assert as_text(prompts(own, chat_template="")) == "2 + 3 = ?"
    assert own.chat_template == CHAT


def test_a_template_without_system_role_gets_the_system_prompt_before_the_question():
    coded = prompts(tokenizer(chat=NO_SYSTEM), PromptTemplate(system="add."))
    assert as_text(coded) == "<s>[user]add.\n2 + 3 = ?"


def test_a_broken_template_is_one_clear_message():
    with pytest.raises(ConfigurationError, match="chat template refuses the prompt"):
        prompts(chat_template="{{ raise_exception('no') }}").encode(QUESTION)


def test_templates_cannot_reach_python():
    with pytest.raises(ConfigurationError, match="refuses"):
        prompts(chat_template="{{ ''.__class__.__mro__[1].__subclasses__() }}").encode(QUESTION)


def test_eos_comes_from_the_generation_config_and_the_tokenizer():
    assert eos_ids(tokenizer(), generation_config([4, 3])) == (1, 3, 4)
    assert eos_ids(tokenizer(), generation_config(4)) == (1, 4)
    assert eos_ids(tokenizer(), None) == (1,)


def test_a_model_without_eos_is_refused():
    with pytest.raises(DataError, match="no EOS token"):
        eos_ids(types.SimpleNamespace(eos_token_id=None), generation_config(None))


@pytest.mark.parametrize(("pad", "pad_id"), [("<pad>", 2), ("</s>", 1), (None, 1)])
def test_padding_uses_the_pad_token_or_an_eos_and_leaves_the_tokenizer_alone(pad, pad_id):
    own = tokenizer(pad=pad)
    assert prompts(own).pad_id == pad_id
    assert own.pad_token == pad


@pytest.mark.parametrize("pad", ["<pad>", "</s>", None])
def test_responses_keep_their_eos_whatever_the_pad_token_is(pad):
    coded = prompts(tokenizer(pad=pad))
    rows, sampled, _ = coded.stored(
        [Example(prompt="q", response="abc"), Example(prompt="r", response="abcdef")]
    )
    assert len(rows) == 2
    assert sampled.mask.sum(dim=1).tolist() == [4, 7]
    assert sampled.token_ids[0, 3] == 1
    assert sampled.token_ids[1, 6] == 1
    assert not sampled.truncated.any()


def test_a_long_prompt_is_refused_not_cut_and_can_be_left_out():
    coded = prompts(max_tokens=9)
    long = Example(prompt="2 + 33 = ?")
    assert len(coded.encode(QUESTION)) == 9
    with pytest.raises(DataError, match="is 10 tokens long, but the limit is 9"):
        coded.encode(long)
    assert coded.fitting([QUESTION, long]) == [QUESTION]


def test_an_empty_prompt_is_refused_unless_the_tokenizer_begins_it():
    with pytest.raises(DataError, match="A prompt is empty"):
        prompts().encode(Example(prompt=""))
    assert prompts(tokenizer(bos=True)).encode(Example(prompt="")) == [0]


def test_stored_pairs_become_two_rows_of_one_prompt():
    pair = Example(prompt="q", chosen="yes", rejected="no")
    rows, sampled, scores = prompts().stored([pair], max_tokens=3)
    assert rows == [pair, pair]
    assert [(s.score, s.correct, s.status) for s in scores] == [
        (1.0, True, "right"),
        (0.0, False, "wrong"),
    ]
    assert sampled.sample_ids.tolist() == [0, 1]
    assert sampled.truncated.tolist() == [True, False]
    assert sampled.token_ids.shape == (2, 3)
    assert sampled.logprobs.isnan().all()


def test_a_stored_reward_is_the_score():
    _, _, scores = prompts().stored([Example(prompt="q", response="a", reward=0.25)])
    assert (scores[0].score, scores[0].correct) == (0.25, False)


def test_an_example_without_response_cannot_be_trained_on():
    with pytest.raises(DataError, match="has no response"):
        prompts().stored([QUESTION])


@given(st.text(CHARACTERS, max_size=30))
def test_a_response_survives_the_way_there_and_back_without_its_special_tokens(text):
    coded = prompts()
    assert coded.decode(coded.encode_response(text)) == text


@pytest.mark.parametrize("chat", [None, CHAT])
def test_trained_tokens_are_the_sampled_ones_not_a_retokenised_text(chat):
    coded = prompts(tokenizer(chat=chat))
    model = random_model("llama", spread=1.0)
    model.resize_token_embeddings(len(coded.tokenizer))
    ids = [coded.encode(QUESTION)]
    out = sample(
        model, ids, [1], group=4, sampling=Sampling(), max_tokens=10,
        eos_ids=coded.eos_ids, pad_id=coded.pad_id, seed=0,
    )  # fmt: skip
    texts = [
        coded.decode(row[mask].tolist()) for row, mask in zip(out.token_ids, out.mask, strict=True)
    ]
    assert not any(special in text for text in texts for special in ("<s>", "</s>", "<|im_end|>"))
    # the text alone could not give the tokens back: specials inside it are gone
    assert any(
        torch.isin(row[mask][:-1], torch.arange(5)).any()
        for row, mask in zip(out.token_ids, out.mask, strict=True)
    )
