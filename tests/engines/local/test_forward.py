import pytest
import torch
from architectures import BUILDERS, random_model

from jumar.engines.local.forward import (
    group_spreads,
    placed,
    response_entropies,
    response_hidden,
    response_logprobs,
    response_values,
)
from jumar.engines.local.models import new_critic, recompute_activations
from jumar.engines.local.sampler import Sampling

PROMPTS = [[5, 6, 7, 8, 9], [3, 4], [20, 21, 22, 23, 24, 25, 26], [30]]
LENGTHS = [4, 7, 1, 6]


def responses():
    token_ids = torch.randint(1, 48, (4, 7), generator=torch.Generator().manual_seed(3))
    mask = torch.arange(7) < torch.tensor(LENGTHS)[:, None]
    return token_ids, mask


def plain(model, row, token_ids, mask, temperature=1.0):
    """[t, V] log-probs of one response, from the model's own logits of that row alone."""
    length = len(PROMPTS[row])
    response = token_ids[row, : LENGTHS[row]]
    ids = torch.cat([torch.tensor(PROMPTS[row]), response])[None]
    logits = model(input_ids=ids, use_cache=False).logits[0, length - 1 : -1]
    return (logits / temperature).log_softmax(-1), response


@pytest.mark.parametrize("tokens", [1, 20, 8192])
@pytest.mark.parametrize("name", ["llama", "llama_tied", "gpt2", "qwen3", "cohere"])
def test_logprobs_and_gradients_equal_each_row_alone(name, tokens):
    model = random_model(name, spread=2.0, dtype=torch.float64)
    token_ids, mask = responses()
    sampling = Sampling(temperature=0.8)
    batched = response_logprobs(model, PROMPTS, token_ids, mask, sampling=sampling, tokens=tokens)
    assert batched[~mask].eq(0.0).all()
    # RMS norms and rotary angles are float32 inside
    close = {"rtol": 1e-5, "atol": 1e-5}
    for row, length in enumerate(LENGTHS):
        log_p, response = plain(model, row, token_ids, mask, 0.8)
        alone = log_p.gather(-1, response[:, None])[:, 0]
        torch.testing.assert_close(batched[row, :length], alone, **close)
    parameters = list(model.parameters())
    left = torch.autograd.grad(batched.sum(), parameters)
    total = sum(
        plain(model, row, token_ids, mask, 0.8)[0].gather(-1, token_ids[row, :length, None]).sum()
        for row, length in enumerate(LENGTHS)
    )
    for one, other in zip(left, torch.autograd.grad(total, parameters), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def test_tokens_between_the_policys_own_are_read_but_not_scored():
    model = random_model("llama", spread=2.0)
    token_ids, mask = responses()
    holes = mask.clone()
    holes[1, 2:4] = False
    whole, some = (
        response_logprobs(model, PROMPTS, token_ids, m, sampling=Sampling()) for m in (mask, holes)
    )
    torch.testing.assert_close(some, whole * holes, rtol=1e-5, atol=1e-5)


def test_what_stands_in_the_padding_changes_nothing():
    model = random_model("llama")
    token_ids, mask = responses()
    other = token_ids.masked_fill(~mask, 1)
    values = [
        response_logprobs(model, PROMPTS, ids, mask, sampling=Sampling())
        for ids in (token_ids, other)
    ]
    assert torch.equal(*values)


def test_a_row_without_any_token_of_its_own_scores_nothing():
    model = random_model("llama")
    token_ids, mask = responses()
    empty = mask.clone()
    empty[2] = False
    values = response_logprobs(model, PROMPTS, token_ids, empty, sampling=Sampling(), tokens=8)
    assert values[2].eq(0.0).all()
    none = torch.zeros_like(mask)
    assert response_logprobs(model, PROMPTS, token_ids, none, sampling=Sampling()).eq(0.0).all()


@pytest.mark.parametrize("name", ["llama", "qwen3", "gemma2"])
def test_gradient_checkpointing_changes_no_gradient(name):
    token_ids, mask = responses()
    gradients, calls = [], []
    for recompute in (False, True):
        model = random_model(name, spread=2.0)
        if recompute:
            recompute_activations(model)
        passes = []
        first = model.model.layers[0].input_layernorm
        first.register_forward_hook(lambda *_, p=passes: p.append(1))
        response_logprobs(model, PROMPTS, token_ids, mask, sampling=Sampling()).sum().backward()
        gradients.append([parameter.grad for parameter in model.parameters()])
        calls.append(len(passes))
    assert calls == [1, 2]
    for left, right in zip(*gradients, strict=True):
        torch.testing.assert_close(left, right, rtol=1e-4, atol=1e-5)


def test_hidden_states_come_in_the_order_of_the_masked_tokens():
    model = random_model("llama")
    token_ids, mask = responses()
    with torch.no_grad():
        hidden = response_hidden(model, PROMPTS, token_ids, mask)
        alone = model.model(input_ids=torch.tensor([[3, 4, *token_ids[1, :6].tolist()]]))
    assert hidden.shape == (sum(LENGTHS), 32)
    torch.testing.assert_close(hidden[4:11], alone.last_hidden_state[0, 1:], rtol=1e-4, atol=1e-4)


def test_placed_values_stand_where_the_mask_is_and_carry_the_gradient():
    mask = torch.tensor([[True, False], [True, True]])
    values = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    out = placed(values, mask)
    assert out.tolist() == [[1.0, 0.0], [2.0, 3.0]]
    out.square().sum().backward()
    assert values.grad.tolist() == [2.0, 4.0, 6.0]


@pytest.mark.parametrize("name", ["llama", "gpt2", "qwen3"])
def test_values_are_of_the_state_before_each_token(name):
    critic = new_critic(random_model(name, spread=2.0))
    torch.nn.init.normal_(
        critic.score.weight if hasattr(critic, "score") else critic.classifier.weight
    )
    token_ids, mask = responses()
    values = response_values(critic, PROMPTS, token_ids, mask, tokens=20)
    for row, length in enumerate(LENGTHS):
        ids = torch.tensor([[*PROMPTS[row], *token_ids[row, :length].tolist()]])
        alone = critic(input_ids=ids).logits[0, len(PROMPTS[row]) - 1 : -1, 0]
        torch.testing.assert_close(values[row, :length], alone, rtol=1e-4, atol=1e-4)
    values.sum().backward()
    assert values[~mask].eq(0.0).all()


@pytest.mark.parametrize("name", BUILDERS)
def test_every_architecture_scores_in_bfloat16(name):
    model = random_model(name, spread=1.0).bfloat16()
    token_ids, mask = responses()
    values = response_logprobs(model, PROMPTS, token_ids, mask, sampling=Sampling())
    assert values.dtype == torch.float32
    assert values[mask].isfinite().all()


def test_the_spread_of_a_group_is_that_of_its_rows_own_distributions():
    model = random_model("llama", spread=2.0, dtype=torch.float64)
    token_ids, mask = responses()
    groups = torch.tensor([7, 3, 7, 3])
    found = group_spreads(model, PROMPTS, token_ids, mask, groups, temperature=0.8)
    assert found[~mask].eq(0.0).all()
    for rows in ([0, 2], [1, 3]):
        log_p = (
            torch.full((2, 7, model.config.vocab_size), 1 / model.config.vocab_size).double().log()
        )
        for place, row in enumerate(rows):
            log_p[place, : LENGTHS[row]] = plain(model, row, token_ids, mask, 0.8)[0].detach()
        gap = (log_p.mean(dim=0) - log_p).clamp(-11, 11)
        wanted = (gap.exp() - gap - 1).sum(-1).mean(0)
        for row in rows:
            here = wanted[: LENGTHS[row]].float()
            torch.testing.assert_close(found[row, : LENGTHS[row]], here, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("tokens", [1, 8192])
def test_entropies_equal_each_row_alone(tokens):
    model = random_model("llama", spread=2.0, dtype=torch.float64)
    token_ids, mask = responses()
    with torch.no_grad():
        found = response_entropies(model, PROMPTS, token_ids, mask, temperature=0.8, tokens=tokens)
        assert found[~mask].eq(0.0).all()
        for row, length in enumerate(LENGTHS):
            log_p, _ = plain(model, row, token_ids, mask, 0.8)
            alone = -(log_p.exp() * log_p).sum(-1)
            torch.testing.assert_close(found[row, :length], alone, rtol=1e-5, atol=1e-5)
