"""Log-probs, entropies and divergences from hidden states, without the [N, V] logits.

A vocabulary of 150,000 tokens makes the logits of one batch larger than the model. Everything here
goes through the head in chunks of `chunk` tokens and recomputes a chunk in the backward pass, so
memory grows with chunk * V, never with N * V. Values and gradients equal the plain path;
arithmetic is float32, or float64 for float64 hidden states. A gradient has the precision of its
weight, in which a head of half precision sums its own over chunks.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from jumar.errors import ConfigurationError, ShapeError

DivergenceKind = Literal["reverse_kl", "forward_kl", "jsd", "entropy"]
CHUNK = 512  # tokens; logits of 4096 then need a fifth of the memory that they need at once
MAX_SPREAD = 11.0  # nats, of one token's log-prob from the mean of its group


@dataclass(frozen=True, slots=True, eq=False)
class Head:
    """The map from hidden states to logits: softcap(scale * (hidden @ weight.T + bias))."""

    weight: Tensor  # [V, D]
    bias: Tensor | None = None  # [V]
    scale: float = 1.0
    softcap: float | None = None  # c * tanh(logits / c), as in Gemma 2

    def logits(self, hidden: Tensor) -> Tensor:
        """[N, V]: at least float32."""
        logits = F.linear(hidden, self.weight, self.bias)
        logits = logits if logits.dtype == torch.float64 else logits.float()
        if self.scale != 1.0:
            logits = logits * self.scale
        return logits if self.softcap is None else self.softcap * torch.tanh(logits / self.softcap)

    def slope(self, logits: Tensor) -> Tensor | float:
        """What a gradient with respect to `logits` is multiplied by to be one of `hidden @ W.T`."""
        if self.softcap is None:
            return self.scale
        return self.scale * (1.0 - (logits / self.softcap).square())

    def detached(self) -> "Head":
        """The same head, out of reach of gradients."""
        bias = None if self.bias is None else self.bias.detach()
        return Head(self.weight.detach(), bias, self.scale, self.softcap)


def processed_logits(
    logits: Tensor,
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
    keep: Tensor | None = None,
) -> Tensor:
    """[N, V]: logits of the distribution that is sampled from; tokens outside top-k, then top-p,
    are -inf.

    `top_k=0` and `top_p=1.0` switch a filter off. Top-p keeps the smallest set that holds that
    mass, of what top-k left. `keep` [N] stays in whatever the filters say: a token that was sampled
    keeps a finite log-prob (and a gradient) when rounding, or an update, moves the edge past it.
    """
    logits = logits if temperature == 1.0 else logits / temperature
    out = torch.zeros_like(logits, dtype=torch.bool)
    if 0 < top_k < logits.shape[-1]:
        out |= logits < logits.detach().topk(top_k, dim=-1).values[:, -1:]
    if top_p < 1.0:
        ordered, order = logits.detach().masked_fill(out, -torch.inf).sort(dim=-1, descending=True)
        probs = ordered.softmax(dim=-1)
        before = probs.cumsum(dim=-1) - probs
        out |= torch.zeros_like(out).scatter_(-1, order, before >= top_p)
    elif not 0 < top_k < logits.shape[-1]:
        return logits
    if keep is not None:
        out = out.scatter(-1, keep[:, None], False)
    return logits.masked_fill(out, -torch.inf)


def token_logprobs(
    hidden: Tensor,
    head: Head,
    token_ids: Tensor,
    *,
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
    chunk: int = CHUNK,
) -> Tensor:
    """[N] nats: log-prob of each token under the distribution that was sampled from."""
    filters = temperature, top_k, top_p
    inputs = hidden, head.weight, head.bias, token_ids, head, filters, chunk
    found: Tensor = _TokenLogprobs.apply(*inputs)  # type: ignore[no-untyped-call]
    return found


class _TokenLogprobs(torch.autograd.Function):
    """The backward pass turns a chunk's logits, made again, into their own gradient in place, and
    sums the head's in one buffer: that is faster than autograd, and has no second copy of either.
    """

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor | None, token_ids: Tensor,
        head: Head, filters: tuple[float, int, float], chunk: int,
    ) -> Tensor:  # fmt: skip
        found = []
        each = (torch.split(tensor, chunk) for tensor in (hidden, token_ids))
        for states, ids in zip(*each, strict=True):
            logits = processed_logits(head.logits(states), *filters, keep=ids)
            found.append(logits.gather(-1, ids[:, None])[:, 0] - logits.logsumexp(dim=-1))
        logprobs = torch.cat(found)
        ctx.save_for_backward(hidden, weight, bias, token_ids, logprobs)
        ctx.head, ctx.filters, ctx.chunk = head, filters, chunk
        return logprobs

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        hidden, weight, bias, token_ids, logprobs = ctx.saved_tensors
        head, (temperature, top_k, top_p) = replace(ctx.head, weight=weight, bias=bias), ctx.filters
        wanted = zip((hidden, weight, bias), ctx.needs_input_grad[:3], strict=True)
        sums = [torch.zeros_like(tensor) if needed else None for tensor, needed in wanted]
        to_hidden, to_weight, to_bias = sums
        for start in range(0, len(hidden), ctx.chunk):
            rows = slice(start, start + ctx.chunk)
            ids, share = token_ids[rows, None], gradient[rows, None] / temperature
            raw = head.logits(hidden[rows])
            slope = head.slope(raw)
            logits = processed_logits(raw, temperature, top_k, top_p, keep=ids[:, 0])
            total = logits.gather(-1, ids) - logprobs[rows, None]
            out = logits.sub_(total).exp_().mul_(-share).scatter_add_(-1, ids, share)
            out = out.mul_(slope).to(weight.dtype)
            if to_hidden is not None:
                torch.mm(out, weight, out=to_hidden[rows])
            if to_weight is not None:
                torch.addmm(to_weight, out.T, hidden[rows], out=to_weight)
            if to_bias is not None:
                to_bias += out.sum(dim=0)
        return (*sums, None, None, None, None)


def entropy(hidden: Tensor, head: Head, *, temperature: float = 1.0, chunk: int = CHUNK) -> Tensor:
    """[N] nats: entropy of the next-token distribution at this temperature, over the whole
    vocabulary.

    Carries a gradient when its inputs do; for logging only, call it under `torch.no_grad()`.
    """

    def piece(hidden: Tensor) -> Tensor:
        return _entropy(_log_softmax(head, hidden, temperature))

    return _chunked(piece, chunk, hidden)


def divergence(
    hidden: Tensor,
    head: Head,
    other_hidden: Tensor | None = None,
    other_head: Head | None = None,
    *,
    kind: DivergenceKind,
    beta: float = 0.5,
    top_k: int = 0,
    temperature: float = 1.0,
    chunk: int = CHUNK,
) -> Tensor:
    """[N] nats: distance of the student (`hidden`, `head`) from another model.

        reverse_kl   KL(S || O)          forward_kl   KL(O || S)          entropy   H(S), no other
        jsd          beta KL(O || M) + (1 - beta) KL(S || M),   M = (1 - beta) S + beta O;
                     beta 0 stands for KL(O || S), beta 1 for KL(S || O)

    The gradient goes to the student only. `top_k` compares k + 1 outcomes: the other's k likeliest
    tokens, and one for all the rest. So it is a divergence itself (never negative, zero for equal
    models), a lower bound of the full one that reaches it at k = V, and it sees the mass that the
    student puts outside; renormalised over the k tokens, that mass would go free.
    """
    if kind == "entropy":
        return entropy(hidden, head, temperature=temperature, chunk=chunk)
    if other_hidden is None or other_head is None:
        raise ConfigurationError(
            f"Divergence `{kind}` compares the policy with another model, but none was given. It "
            f"is computed from the hidden "
            "states of both. Start the engine with a reference or a teacher, or ask for kind "
            "'entropy'."
        )
    if other_head.weight.shape[0] != head.weight.shape[0]:
        raise ShapeError(
            f"Divergence `{kind}` needs two models over one vocabulary, but the policy has "
            f"{head.weight.shape[0]} tokens and "
            f"the other {other_head.weight.shape[0]}. Probabilities are compared token by token. "
            f"Choose a reference or teacher "
            "with the policy's tokenizer, or an algorithm that compares sampled tokens only."
        )
    other, beta = other_head.detached(), {"reverse_kl": 1.0, "forward_kl": 0.0}.get(kind, beta)

    def piece(hidden: Tensor, other_hidden: Tensor) -> Tensor:
        log_s = _log_softmax(head, hidden, temperature)
        log_o = _log_softmax(other, other_hidden, temperature)
        if 0 < top_k < log_o.shape[-1]:
            ids = log_o.topk(top_k, dim=-1).indices
            log_s, log_o = _top_and_rest(log_s, ids), _top_and_rest(log_o, ids)
        return _jsd(log_s, log_o, beta)

    return _chunked(piece, chunk, hidden, other_hidden.detach())


def _log_softmax(head: Head, hidden: Tensor, temperature: float) -> Tensor:
    return processed_logits(head.logits(hidden), temperature).log_softmax(dim=-1)


def _entropy(log_p: Tensor) -> Tensor:
    return -(log_p.exp() * log_p).sum(dim=-1)


def _kl(log_p: Tensor, log_q: Tensor) -> Tensor:
    return (log_p.exp() * (log_p - log_q)).sum(dim=-1)


def _jsd(log_s: Tensor, log_o: Tensor, beta: float) -> Tensor:
    if beta == 0.0:
        return _kl(log_o, log_s)
    if beta == 1.0:
        return _kl(log_s, log_o)
    weights = torch.tensor([1.0 - beta, beta], dtype=log_s.dtype, device=log_s.device).log()
    log_m = torch.logaddexp(log_s + weights[0], log_o + weights[1])
    return beta * _kl(log_o, log_m) + (1.0 - beta) * _kl(log_s, log_m)


def _top_and_rest(log_p: Tensor, ids: Tensor) -> Tensor:
    """[N, k + 1] nats: the chosen tokens, and everything else as one outcome."""
    rest = log_p.scatter(-1, ids, -torch.inf).logsumexp(dim=-1, keepdim=True)
    return torch.cat([log_p.gather(-1, ids), rest], dim=-1)


def _chunked(piece: Callable[..., Tensor], chunk: int, *inputs: Tensor) -> Tensor:
    """[N]: `piece` over row slices of the inputs, each slice recomputed in the backward pass."""
    if inputs[0].shape[0] == 0:
        return piece(*inputs)
    options: dict[str, Any] = {"use_reentrant": False, "preserve_rng_state": False}
    slices = zip(*(torch.split(tensor, chunk) for tensor in inputs), strict=True)
    return torch.cat([checkpoint(piece, *part, **options) for part in slices])


def position_spread(
    hidden: Tensor, head: Head, mask: Tensor, *, temperature: float = 1.0, chunk: int = CHUNK
) -> Tensor:
    """[T] nats: how far apart a group's next-token distributions are at each position.

        sum_v (exp(d_v) - d_v - 1), mean over the rows, with d = mean over the rows of log p - log p

    `hidden` [N, D] are the states of one group at the positions of `mask` [G, T], row by row. A row
    that has ended counts as uniform, and d stays within 11 nats. No gradient.
    """
    states = hidden.new_zeros(*mask.shape, hidden.shape[1])
    states[mask] = hidden.detach()
    uniform = -math.log(head.weight.shape[0])
    spreads = []
    for part in range(0, mask.shape[1], max(1, chunk // len(mask))):
        here = slice(part, part + max(1, chunk // len(mask)))
        with torch.no_grad():
            log_p = _log_softmax(head, states[:, here].flatten(0, 1), temperature)
            log_p = log_p.view(len(mask), -1, log_p.shape[-1])
            log_p = log_p.masked_fill(~mask[:, here, None], uniform)
            gap = (log_p.mean(dim=0) - log_p).clamp(-MAX_SPREAD, MAX_SPREAD)
            spreads.append((gap.exp() - gap - 1).sum(dim=-1).mean(dim=0))
    return torch.cat(spreads) if spreads else hidden.new_zeros(0)
