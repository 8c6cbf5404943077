import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from jumar.errors import ConfigurationError, ShapeError
from jumar.ops.logprobs import (
    CHUNK,
    Head,
    divergence,
    entropy,
    processed_logits,
    token_logprobs,
)
from jumar.reproduce.memory import LiveBytes

ROWS, WIDTH, VOCABULARY = 13, 6, 11
KINDS = ["reverse_kl", "forward_kl", "jsd", "entropy"]


def world(seed=0, *, bias=True, scale=1.0, softcap=None, vocabulary=VOCABULARY):
    """Hidden states and a head with gradients, in float64."""
    draw = torch.Generator().manual_seed(seed)
    make = lambda *shape: torch.randn(*shape, generator=draw, dtype=torch.float64)  # noqa: E731
    hidden = make(ROWS, WIDTH).requires_grad_()
    weight = make(vocabulary, WIDTH).requires_grad_()
    head = Head(weight, make(vocabulary).requires_grad_() if bias else None, scale, softcap)
    ids = torch.randint(vocabulary, (ROWS,), generator=draw)
    return hidden, head, ids


def plain_logits(hidden, head):
    logits = hidden @ head.weight.T + (0.0 if head.bias is None else head.bias)
    logits = head.scale * logits
    return logits if head.softcap is None else head.softcap * torch.tanh(logits / head.softcap)


def gradients(values, *inputs):
    cotangent = torch.linspace(-1.0, 2.0, values.shape[0], dtype=values.dtype)
    return torch.autograd.grad((values * cotangent).sum(), inputs)


@pytest.mark.parametrize("chunk", [1, 4, 13, 1024])
@pytest.mark.parametrize(
    "head", [{}, {"bias": False}, {"scale": 0.25}, {"softcap": 2.0, "scale": 3.0}], ids=str
)
def test_values_and_gradients_equal_the_plain_path(chunk, head):
    hidden, head, ids = world(**head)
    inputs = [hidden, head.weight] + ([] if head.bias is None else [head.bias])
    chunked = token_logprobs(hidden, head, ids, temperature=0.7, chunk=chunk)
    plain = (plain_logits(hidden, head) / 0.7).log_softmax(-1)[torch.arange(ROWS), ids]
    torch.testing.assert_close(chunked, plain, rtol=1e-12, atol=1e-12)
    for left, right in zip(gradients(chunked, *inputs), gradients(plain, *inputs), strict=True):
        torch.testing.assert_close(left, right, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize(
    "filters", [{"top_k": 4}, {"top_p": 0.7}, {"top_k": 6, "top_p": 0.5}], ids=str
)
def test_gradients_through_filters_equal_autograds(filters):
    hidden, head, ids = world(softcap=2.0)
    inputs = [hidden, head.weight, head.bias]
    chunked = token_logprobs(hidden, head, ids, temperature=0.7, chunk=4, **filters)
    logits = processed_logits(plain_logits(hidden, head), 0.7, **filters, keep=ids)
    plain = logits.log_softmax(-1)[torch.arange(ROWS), ids]
    for left, right in zip(gradients(chunked, *inputs), gradients(plain, *inputs), strict=True):
        torch.testing.assert_close(left, right, rtol=1e-11, atol=1e-11)


def test_a_frozen_head_has_no_gradient_and_half_precision_keeps_its_own():
    hidden, head, ids = world()
    frozen = head.detached()
    wanted = gradients(token_logprobs(hidden, head, ids), hidden)[0]
    assert torch.equal(gradients(token_logprobs(hidden, frozen, ids), hidden)[0], wanted)
    small = hidden.detach().bfloat16().requires_grad_()
    weight = head.weight.detach().bfloat16().requires_grad_()
    found = gradients(token_logprobs(small, Head(weight), ids), small, weight)
    assert [gradient.dtype for gradient in found] == [torch.bfloat16] * 2


def test_log_probs_by_hand():
    head = Head(torch.tensor([[0.0], [1.0]], dtype=torch.float64))
    hidden = torch.tensor([[math.log(3.0)]], dtype=torch.float64)  # probabilities 1/4 and 3/4
    assert token_logprobs(hidden, head, torch.tensor([1])).item() == pytest.approx(math.log(0.75))
    cold = token_logprobs(hidden, head, torch.tensor([1]), temperature=0.5)  # 1/10 and 9/10
    assert cold.item() == pytest.approx(math.log(0.9))
    wanted = -(0.25 * math.log(0.25) + 0.75 * math.log(0.75))
    assert entropy(hidden, head).item() == pytest.approx(wanted)


def test_no_rows_give_no_values():
    hidden, head, ids = world()
    assert token_logprobs(hidden[:0], head, ids[:0]).shape == (0,)
    assert entropy(hidden[:0], head).shape == (0,)


# probabilities 0.5, 0.3, 0.15, 0.05 for tokens 2, 0, 3, 1
LOGITS = torch.tensor([[0.3, 0.05, 0.5, 0.15]], dtype=torch.float64).log()


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        ({}, {0, 1, 2, 3}),
        ({"top_k": 2}, {2, 0}),
        ({"top_k": 4}, {0, 1, 2, 3}),
        ({"top_p": 0.4}, {2}),
        ({"top_p": 0.7}, {2, 0}),
        ({"top_p": 0.9}, {2, 0, 3}),
        ({"top_k": 2, "top_p": 0.6}, {2}),  # of the two left, token 2 has 0.625
        ({"top_p": 0.7, "temperature": 3.0}, {2, 0, 3}),  # flatter: 0.35, 0.30, 0.23, 0.16
    ],
    ids=str,
)
def test_filters_keep_the_tokens_that_a_hand_count_keeps(options, kept):
    out = processed_logits(LOGITS, **options)
    assert set(out.isfinite().nonzero()[:, 1].tolist()) == kept


def test_filtered_log_probs_are_renormalised():
    hidden, head = torch.eye(4, dtype=torch.float64)[:1], Head(LOGITS.T.repeat(1, 4))
    ids = torch.tensor([2])
    assert token_logprobs(hidden, head, ids, top_k=2).item() == pytest.approx(math.log(0.5 / 0.8))
    assert token_logprobs(hidden, head, ids, top_p=0.4).item() == pytest.approx(0.0)


def test_a_sampled_token_stays_finite_when_an_update_moves_it_out_of_the_set():
    hidden, head = (
        torch.eye(4, dtype=torch.float64)[:1].requires_grad_(),
        Head(LOGITS.T.repeat(1, 4)),
    )
    logprob = token_logprobs(hidden, head, torch.tensor([1]), top_k=2, top_p=0.99)
    assert logprob.item() == pytest.approx(math.log(0.05 / 0.85))
    assert gradients(logprob, hidden)[0].isfinite().all()


@given(
    seed=st.integers(0, 1000), top_k=st.integers(0, 12), top_p=st.floats(0.05, 1.0),
    temperature=st.floats(0.1, 5.0),
)  # fmt: skip
def test_filters_keep_the_likeliest_tokens_and_never_nothing(seed, top_k, top_p, temperature):
    hidden, head, _ = world(seed)
    logits = plain_logits(hidden, head).detach()
    out = processed_logits(logits, temperature, top_k, top_p)
    kept = out.isfinite()
    assert kept.any(dim=-1).all()
    lowest = logits.masked_fill(~kept, torch.inf).amin(dim=-1)
    highest = logits.masked_fill(kept, -torch.inf).amax(dim=-1)
    assert (lowest > highest).all()
    if 0 < top_k < VOCABULARY:
        assert (kept.sum(dim=-1) <= top_k).all()
    torch.testing.assert_close(out[kept], (logits / temperature)[kept])


def plain_divergence(hidden, head, other_hidden, other, kind, beta, top_k=0):
    s = plain_logits(hidden, head).softmax(-1)
    if kind == "entropy":
        return -(s * s.log()).sum(-1)
    o = plain_logits(other_hidden, other).softmax(-1).detach()
    if top_k:
        ids = o.topk(top_k).indices
        s, o = (torch.cat([p.gather(1, ids), 1 - p.gather(1, ids).sum(1, True)], 1) for p in (s, o))
    kl = lambda p, q: (p * (p.log() - q.log())).sum(-1)  # noqa: E731
    if kind == "reverse_kl" or (kind == "jsd" and beta == 1.0):
        return kl(s, o)
    if kind == "forward_kl" or (kind == "jsd" and beta == 0.0):
        return kl(o, s)
    m = (1 - beta) * s + beta * o
    return beta * kl(o, m) + (1 - beta) * kl(s, m)


@pytest.mark.parametrize("top_k", [0, 3, VOCABULARY])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("beta", [0.0, 0.3, 1.0])
def test_divergences_and_their_gradients_equal_the_plain_path(kind, beta, top_k):
    hidden, head, _ = world(1)
    other_hidden, other, _ = world(2, softcap=4.0)
    value = divergence(
        hidden, head, other_hidden, other, kind=kind, beta=beta, top_k=top_k, chunk=5
    )
    k = 0 if top_k == VOCABULARY else top_k
    plain = plain_divergence(hidden, head, other_hidden, other, kind, beta, k)
    torch.testing.assert_close(value, plain, rtol=1e-10, atol=1e-12)
    for left, right in zip(
        gradients(value, hidden, head.weight, head.bias),
        gradients(plain, hidden, head.weight, head.bias),
        strict=True,
    ):
        torch.testing.assert_close(left, right, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("kind", ["reverse_kl", "forward_kl", "jsd"])
def test_the_other_model_gets_no_gradient(kind):
    hidden, head, _ = world(1)
    other_hidden, other, _ = world(2)
    divergence(hidden, head, other_hidden, other, kind=kind).sum().backward()
    assert hidden.grad is not None
    assert other_hidden.grad is None
    assert other.weight.grad is None


@given(seed=st.integers(0, 500), kind=st.sampled_from(KINDS[:3]), k=st.integers(1, VOCABULARY - 1))
def test_top_k_bounds_the_full_divergence_from_below(seed, kind, k):
    models = *world(seed)[:2], *world(seed + 1000)[:2]
    full, part = divergence(*models, kind=kind), divergence(*models, kind=kind, top_k=k)
    assert (part >= -1e-12).all()
    assert (part <= full + 1e-12).all()


@pytest.mark.parametrize("kind", ["reverse_kl", "forward_kl", "jsd"])
def test_equal_models_have_no_divergence_and_no_gradient(kind):
    hidden, head, _ = world()
    value = divergence(hidden, head, hidden.detach(), head.detached(), kind=kind, top_k=4)
    torch.testing.assert_close(value, torch.zeros_like(value))
    torch.testing.assert_close(gradients(value, hidden)[0], torch.zeros_like(hidden))


@pytest.mark.parametrize("kind", KINDS[:3])
def test_tokens_that_one_model_rules_out_give_finite_gradients(kind):
    hidden, head, _ = world()
    sure = Head(head.weight.detach() * 300.0)
    value = divergence(hidden, head, hidden.detach(), sure, kind=kind)
    assert value.isfinite().all()
    assert gradients(value, hidden)[0].isfinite().all()


def test_a_divergence_without_another_model_is_refused():
    hidden, head, _ = world()
    with pytest.raises(ConfigurationError, match="`jsd` compares the policy with another model"):
        divergence(hidden, head, kind="jsd")


def test_models_over_other_vocabularies_are_refused():
    hidden, head, _ = world()
    other_hidden, other, _ = world(vocabulary=12)
    with pytest.raises(ShapeError, match="the policy has 11 tokens and the other 12"):
        divergence(hidden, head, other_hidden, other, kind="forward_kl")


class LargestTensor(TorchDispatchMode):
    """Remembers the most elements that any tensor had which an operation made."""

    elements = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, tuple | list) else (out,):
            if isinstance(tensor, torch.Tensor):
                self.elements = max(self.elements, tensor.numel())
        return out


@pytest.mark.parametrize("what", ["logprobs", "filtered", *KINDS])
@pytest.mark.parametrize("gradient", [False, True])
def test_no_tensor_grows_with_tokens_times_vocabulary(what, gradient):
    rows, width, vocabulary, chunk = 512, 4, 600, 16
    hidden = torch.randn(rows, width, requires_grad=gradient)
    weight = torch.randn(vocabulary, width, requires_grad=gradient)
    ids = torch.randint(vocabulary, (rows,))
    head, other = Head(weight), (torch.randn(rows, width), Head(torch.randn(vocabulary, width)))
    with LargestTensor() as largest:
        if what in ("logprobs", "filtered"):
            filters = {"top_k": 50, "top_p": 0.9} if what == "filtered" else {}
            value = token_logprobs(hidden, head, ids, chunk=chunk, **filters)
        else:
            value = divergence(hidden, head, *other, kind=what, chunk=chunk)
        if gradient:
            value.sum().backward()
    assert chunk * vocabulary <= largest.elements <= 2 * chunk * vocabulary
    assert 2 * chunk * vocabulary < rows * vocabulary / 10


def test_nothing_of_a_chunk_is_kept_for_the_backward_pass():
    hidden, head, ids = world()
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(
        lambda t: kept.append(t.numel()) or t, lambda t: t
    ):
        token_logprobs(hidden, head, ids, chunk=4)
    assert max(kept, default=0) <= max(hidden.numel(), head.weight.numel())


def test_bfloat16_hidden_states_give_float32_log_probs():
    hidden, head, ids = world()
    low = Head(head.weight.bfloat16(), head.bias.bfloat16())
    value = token_logprobs(hidden.bfloat16(), low, ids)
    assert value.dtype == torch.float32
    torch.testing.assert_close(
        value.double(), token_logprobs(hidden, head, ids), rtol=0.05, atol=0.1
    )


def test_a_loss_over_a_wide_vocabulary_needs_a_quarter_of_the_plain_memory():
    # 4096 tokens, width 512 and a vocabulary of 151,936, all of them a sixteenth
    rows, width, vocabulary, chunk = 256, 32, 9496, CHUNK // 16
    hidden, weight, other = (torch.randn(n, width) for n in (rows, vocabulary, vocabulary))
    leaves, ids = [hidden.requires_grad_(), weight.requires_grad_()], torch.arange(rows)

    def peak(loss):
        with LiveBytes() as live:
            torch.autograd.grad(loss().sum(), leaves)
        return live.peak

    def plain():
        return (hidden @ weight.T).log_softmax(dim=-1)

    def plain_kl():
        log_p = plain()
        return log_p.exp() * (log_p - (hidden.detach() @ other.T).log_softmax(dim=-1))

    sides = hidden, Head(weight), hidden, Head(other)
    chosen = peak(lambda: token_logprobs(*sides[:2], ids, chunk=chunk))
    assert chosen < peak(lambda: plain().gather(1, ids[:, None])) / 4
    assert peak(lambda: divergence(*sides, kind="reverse_kl", chunk=chunk)) < peak(plain_kl) / 4
