import copy

import pytest
import torch
from architectures import random_model
from torch import nn

from jumar.engines.local.forward import response_hidden, response_values
from jumar.engines.local.models import new_critic, recompute_activations
from jumar.engines.local.packing import Packed, Piece, families, pack, packs

LONG, SHORT, ALONE = [5, 6, 7, 8, 9, 10], [3], [20, 21, 22]
PROMPTS = [LONG, SHORT, LONG, ALONE, LONG, SHORT]
SPANS = [3, 5, 5, 4, 1, 5]
FULL = ["llama", "llama_tied", "qwen2", "qwen3", "gemma", "mistral", "gpt2", "granite", "cohere"]


def responses(spans=SPANS):
    token_ids = torch.randint(1, 48, (6, 5), generator=torch.Generator().manual_seed(3))
    return token_ids, torch.arange(5) < torch.tensor(spans)[:, None]


def both(name, dtype=torch.float32, change=lambda model: model):
    """The same model, taking the plain path and packed."""
    plain = change(random_model(name, spread=2.0, dtype=dtype))
    packed = copy.deepcopy(plain)
    pack(packed)
    assert packs(packed)
    assert not packs(plain)
    return plain, packed


def exact_norms(model):
    """RMS norms in float64, where transformers computes them in float32 whatever the model is."""
    for parent in list(model.modules()):
        for name, part in parent.named_children():
            if type(part).__name__.endswith("RMSNorm") and "Gemma" not in type(part).__name__:
                norm = nn.RMSNorm(part.weight.shape, eps=part.variance_epsilon)
                norm.weight = part.weight
                setattr(parent, name, norm)
    return model


def gradients(model, mask, prompts=PROMPTS):
    """The hidden states, and the gradient of something uneven in them."""
    hidden = response_hidden(model, prompts, responses()[0], mask)
    weights = torch.arange(hidden.numel(), dtype=hidden.dtype).view_as(hidden).sin()
    (hidden * weights).sum().backward()
    found = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
    return hidden.detach(), found


@pytest.mark.parametrize("name", FULL)
def test_hidden_states_and_gradients_equal_the_plain_path(name):
    (hidden, one), (states, other) = (gradients(m, responses()[1]) for m in both(name))
    torch.testing.assert_close(states, hidden, rtol=1e-5, atol=1e-5)
    assert (one - other).norm() <= 1e-5 * one.norm()


@pytest.mark.parametrize("name", ["llama", "qwen2", "qwen3", "mistral", "gpt2", "granite"])
def test_gradients_equal_the_plain_path_to_ten_digits_in_float64(name):
    (_, one), (_, other) = (
        gradients(m, responses()[1]) for m in both(name, torch.float64, exact_norms)
    )
    assert (one - other).norm() <= 1e-10 * one.norm()


@pytest.mark.parametrize(
    "spans", [[5] * 6, [0] * 6, [3, 0, 0, 4, 1, 2]], ids=["one length", "nothing", "some"]
)
def test_rows_of_one_length_and_rows_without_tokens_are_packed_like_any_other(spans):
    mask = responses(spans)[1]
    (hidden, one), (states, other) = (gradients(m, mask) for m in both("llama"))
    torch.testing.assert_close(states, hidden, rtol=1e-5, atol=1e-5)
    assert (one - other).norm() <= 1e-5 * one.norm()


def test_tokens_between_the_policys_own_are_read_but_not_predicted():
    mask = responses()[1]
    mask[2, 1:3] = False
    mask[4, 0] = False
    (hidden, one), (states, other) = (gradients(m, mask) for m in both("qwen3"))
    torch.testing.assert_close(states, hidden, rtol=1e-5, atol=1e-5)
    assert (one - other).norm() <= 1e-5 * one.norm()


def test_activations_may_be_recomputed():
    plain, packed = both("llama")
    recompute_activations(packed)
    calls = []
    packed.model.layers[0].input_layernorm.register_forward_hook(lambda *_: calls.append(1))
    (_, one), (_, other) = (gradients(m, responses()[1]) for m in (plain, packed))
    assert len(calls) == 2
    assert (one - other).norm() <= 1e-5 * one.norm()


def test_a_critic_of_a_packed_policy_packs():
    plain, packed = (new_critic(model) for model in both("llama"))
    assert packs(packed)
    for critic in (plain, packed):
        nn.init.constant_(critic.score.weight, 0.1)
    values = [response_values(c, PROMPTS, *responses(), tokens=20) for c in (plain, packed)]
    torch.testing.assert_close(*values, rtol=1e-5, atol=1e-5)


def test_a_shared_prompt_goes_through_the_model_once_and_no_padding_does():
    _, packed = both("llama")
    seen = []
    packed.model.embed_tokens.register_forward_hook(lambda _m, args, _o: seen.append(args[0].shape))
    with torch.no_grad():
        response_hidden(packed, PROMPTS, *responses())
    # LONG stands once for three rows; SHORT saves 1 of 12 tokens and stands twice
    assert seen == [(1, len(LONG) + 2 * len(SHORT) + len(ALONE) + sum(SPANS))]


def test_a_prompt_is_shared_where_that_saves_a_tenth_of_the_tokens():
    assert list(families("aab", [10, 10, 10], [5, 5, 5])) == [[0, 1], [2]]
    assert list(families("aab", [1, 1, 1], [5, 5, 5])) == [[0], [1], [2]]
    assert list(families("aaaa", [1] * 4, [5] * 4)) == [[0, 1, 2, 3]]


def test_responses_are_padded_to_those_of_similar_lengths_alone():
    piece = Piece.of(3, [0, 1, 2, 3, 6, 7], torch.device("cpu"))
    assert [some.mask.shape[-2:] for some in piece.bunches] == [(2, 5), (6, 9), (7, 10)]
    assert [(some.rows, some.tokens) for some in piece.bunches] == [(2, 3), (2, 9), (1, 7)]
    assert sum(some.rows * some.mask.shape[-2] for some in piece.bunches) == 4 + 12 + 7


@pytest.mark.parametrize("name", ["gemma2", "bloom"])
def test_a_model_of_another_attention_is_left_alone(name):
    model = random_model(name)
    before = model.config._attn_implementation
    pack(model)
    assert not packs(model)
    assert model.config._attn_implementation == before


def test_a_window_is_no_full_attention():
    model = random_model("mistral_window")
    pack(model)
    assert not packs(model)


def test_eager_attention_is_left_as_it_was_asked_for():
    model = random_model("llama")
    model.set_attn_implementation("eager")
    pack(model)
    assert model.config._attn_implementation == "eager"


def test_a_packed_model_is_written_as_any_other(tmp_path):
    plain, packed = both("llama")
    for name, model in (("plain", plain), ("packed", packed)):
        model.save_pretrained(tmp_path / name)
    texts = [(tmp_path / name / "config.json").read_text() for name in ("plain", "packed")]
    assert texts[0] == texts[1]


def test_the_layout_says_where_each_token_is_predicted():
    prompts, ids = [[7, 8, 9], [7, 8, 9], [4]], torch.tensor([[1, 2], [3, 0], [5, 6]])
    packed = Packed.of(prompts, ids, [2, 1, 2])
    assert packed.ids.tolist() == [[7, 8, 9, 3, 1, 2, 4, 5, 6]]  # the shorter response first
    assert packed.positions.tolist() == [[0, 1, 2, 3, 3, 4, 0, 1, 2]]
    assert packed.before(ids != 0).tolist() == [2, 4, 2, 6, 7]
