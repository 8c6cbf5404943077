"""Sampling: responses with the behaviour log-prob of every token, recorded as it is drawn.

Each prompt goes through the model once; its keys and values are then held for all responses of its
group, or repeated for them. A row leaves the batch with its EOS. A token is the inverse CDF at one
uniform, and that uniform is a hash of (seed, step, prompt, sample, position): the order of rows,
the size of blocks and a resumed run change no draw (they can still move the last bit of a
probability).
"""

import hashlib
import struct
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from transformers import DynamicCache

from jumar.engines.local.distributed import rank, summed, world
from jumar.engines.local.kv_cache import ResponseCache
from jumar.engines.local.models import backbone, context_length, lm_head
from jumar.engines.local.packing import shares
from jumar.engines.local.sharding import unsharded
from jumar.errors import ConfigurationError, EngineError
from jumar.ops.logprobs import Head, processed_logits

LOGITS_AT_ONCE = 2**24  # elements: 64 MiB in float32
Ended = Callable[[int, Sequence[int]], None]  # is told of a response: its row and its tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """The distribution that responses are drawn from. Temperature 0 is greedy; `top_k=0` and
    `top_p=1.0` are off.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0

    def __post_init__(self) -> None:
        if self.temperature < 0.0 or self.top_k < 0 or not 0.0 < self.top_p <= 1.0:
            raise ConfigurationError(
                f"Sampling was given {self!r}, but it needs temperature >= 0, top_k >= 0 and 0 < "
                f"top_p <= 1. Outside that there "
                "is no distribution to draw from. Change the value; temperature 0 means greedy, "
                "top_k 0 and top_p 1 mean off."
            )


@dataclass(frozen=True, slots=True, eq=False)
class Sampled:
    """Responses, right-padded to the longest; row p * group + s is sample s of prompt p."""

    token_ids: Tensor  # [B, T]
    mask: Tensor  # bool [B, T], EOS included
    logprobs: (
        Tensor  # [B, T] nats, of the distribution drawn from; 0 under greedy decoding, a point mass
    )
    truncated: Tensor  # bool [B], cut at max_tokens
    sample_ids: Tensor  # [B], which of its prompt's responses; with the prompt it names a row


class Sampler(Protocol):
    """Where a policy's responses come from."""

    def sample(
        self,
        model: nn.Module,
        prompts: Sequence[Sequence[int]],
        prompt_ids: Sequence[int],
        *,
        group: int,
        sampling: Sampling,
        max_tokens: int,
        eos_ids: Sequence[int],
        pad_id: int,
        seed: int,
        step: int,
        ended: Ended | None = None,
    ) -> Sampled:
        """`group` responses to each prompt, in a row. A prompt that occurs twice gets other ones
        the second time. `model` has the weights that were synchronised last. `ended` may be told
        of responses before the others are whole.
        """
        ...

    def synchronise(self, model: nn.Module) -> dict[str, float]:
        """Take over the weights of `model`, which have changed; metrics of that."""
        ...


@dataclass(frozen=True, slots=True)
class LocalSampler:
    """Draws with the policy itself, so that there is nothing to synchronise."""

    rows: int  # sampled at once

    def sample(
        self, model: nn.Module, prompts: Sequence[Sequence[int]], prompt_ids: Sequence[int],
        **options: Any,
    ) -> Sampled:  # fmt: skip
        """See `sample`."""
        return sample(model, prompts, prompt_ids, rows=self.rows, **options)

    def synchronise(self, model: nn.Module) -> dict[str, float]:
        """Nothing to do."""
        return {}


def sample(
    model: nn.Module,
    prompts: Sequence[Sequence[int]],
    prompt_ids: Sequence[int],
    *,
    group: int,
    sampling: Sampling,
    max_tokens: int,
    eos_ids: Sequence[int],
    pad_id: int,
    seed: int,
    step: int = 0,
    rows: int = 512,
    ended: Ended | None = None,
) -> Sampled:
    """`group` responses to each prompt, at most `rows` at a time.

    A prompt that occurs twice gets other responses the second time: its sample numbers go on. Of
    several processes each samples whole groups of its own, and all of them have all responses.
    """
    check_context(model, prompts, max_tokens)
    weight = next(model.parameters())
    device, total = weight.device, len(prompts) * group
    wide = torch.float64 if weight.dtype == torch.float64 else torch.float32
    out = Sampled(
        token_ids=torch.full((total, max_tokens), pad_id, device=device),
        mask=torch.zeros(total, max_tokens, dtype=torch.bool, device=device),
        logprobs=torch.zeros(total, max_tokens, dtype=wide, device=device),
        truncated=torch.zeros(total, dtype=torch.bool, device=device),
        sample_ids=sample_numbers(prompt_ids, group).to(device),
    )
    uniforms = _uniforms(prompt_ids, out.sample_ids.tolist(), max_tokens, seed, step).to(device)
    eos = torch.tensor(sorted(eos_ids), device=device)
    mine = [row for row in range(total) if row // group % world() == rank()]
    by_length = sorted(mine, key=lambda row: (len(prompts[row // group]), row))
    with unsharded(model), torch.inference_mode(), _evaluating(model):
        for start in range(0, len(mine), rows):
            block = by_length[start : start + rows]
            _sample_block(model, prompts, block, group, sampling, eos, uniforms, out, ended)
    out = _together(out, pad_id)
    check_finite(out.logprobs)
    longest = int(out.mask.sum(dim=1).max()) if total else 0
    return replace(
        out,
        token_ids=out.token_ids[:, :longest].contiguous(),
        mask=out.mask[:, :longest].contiguous(),
        logprobs=out.logprobs[:, :longest].contiguous(),
    )


def _together(out: Sampled, pad_id: int) -> Sampled:
    """Everybody's rows: those of the others are empty in `out`."""
    mask = summed(out.mask)
    return replace(
        out,
        token_ids=summed(out.token_ids * out.mask).masked_fill(~mask, pad_id),
        mask=mask,
        logprobs=summed(out.logprobs),
        truncated=summed(out.truncated),
    )


def _sample_block(
    model: nn.Module,
    prompts: Sequence[Sequence[int]],
    block: Sequence[int],
    group: int,
    sampling: Sampling,
    eos: Tensor,
    uniforms: Tensor,
    out: Sampled,
    ended: Ended | None,
) -> None:
    body, head = backbone(model), lm_head(model)
    unique = sorted({row // group for row in block}, key=lambda p: (len(prompts[p]), p))
    place = {prompt: i for i, prompt in enumerate(unique)}
    device, max_tokens = uniforms.device, uniforms.shape[1]
    live = torch.tensor(block, device=device)
    member = torch.tensor([place[row // group] for row in block], device=device)

    ids, attend = _left_padded([prompts[p] for p in unique], device)
    cache, lengths = DynamicCache(config=model.config), attend.sum(dim=1)
    padding = attend if bool((lengths < ids.shape[1]).any()) else None
    hidden = body(
        input_ids=ids,
        attention_mask=padding,
        position_ids=(attend.cumsum(dim=1) - 1).clamp(min=0),
        past_key_values=cache,
        use_cache=True,
    ).last_hidden_state[:, -1]
    hidden, lengths = hidden[member], lengths[member]
    rows = ResponseCache.of(cache, member, padding, most=max_tokens, share=shares(model))

    for t in range(max_tokens):
        tokens, logprobs = _draw(head, hidden, uniforms[live, t], sampling)
        out.token_ids[live, t], out.logprobs[live, t], out.mask[live, t] = tokens, logprobs, True
        going = torch.isin(tokens, eos, invert=True)
        if not bool(going.all()):
            _tell(ended, live[~going], out, t + 1)
            stay = rows.drop(going)
            live, tokens, lengths = live[stay], tokens[stay], lengths[stay]
        if t + 1 == max_tokens or not live.numel():
            break
        hidden = body(
            input_ids=tokens[:, None],
            position_ids=(lengths + t)[:, None],
            use_cache=True,
            **rows.inputs(),
        ).last_hidden_state[:, -1]
    out.truncated[live] = True
    _tell(ended, live, out, max_tokens)


def _tell(ended: Ended | None, rows: Tensor, out: Sampled, length: int) -> None:
    if ended is not None:
        whole = zip(rows.tolist(), out.token_ids[rows, :length].tolist(), strict=True)
        for row, token_ids in whole:
            ended(row, token_ids)


def _draw(
    head: Head, hidden: Tensor, uniforms: Tensor, sampling: Sampling
) -> tuple[Tensor, Tensor]:
    """Token ids [N] and their log-probs [N] nats, a few rows at a time where the head is wide."""
    rows = max(1, LOGITS_AT_ONCE // head.weight.shape[0])
    slices = zip(torch.split(hidden, rows), torch.split(uniforms, rows), strict=True)
    tokens, logprobs = zip(*(_drawn(head.logits(h), u, sampling) for h, u in slices), strict=True)
    return torch.cat(tokens), torch.cat(logprobs)


def _drawn(logits: Tensor, uniforms: Tensor, sampling: Sampling) -> tuple[Tensor, Tensor]:
    if sampling.temperature == 0.0:
        top, tokens = logits.max(dim=-1)
        return tokens, top - top  # 0, or NaN, which `sample` reports
    logits = processed_logits(logits, sampling.temperature, sampling.top_k, sampling.top_p)
    log_p = logits.log_softmax(dim=-1)
    cdf = log_p.double().exp().cumsum(dim=-1)
    # below the total by at least one unit in the last place (uniforms have 52 bits), so that a
    # token of probability 0 is never drawn; the clamp only matters for NaN, which `sample` reports
    target = uniforms[:, None] * cdf[:, -1:]
    tokens = torch.searchsorted(cdf, target, right=True).clamp(max=logits.shape[-1] - 1)
    return tokens[:, 0], log_p.gather(-1, tokens)[:, 0]


def sample_numbers(prompt_ids: Sequence[int], group: int) -> Tensor:
    """[B]: 0, 1, ... within each prompt, going on where a prompt occurs again."""
    seen, ids = Counter[int](), list[int]()
    for prompt_id in prompt_ids:
        ids += range(seen[prompt_id], seen[prompt_id] + group)
        seen[prompt_id] += group
    return torch.tensor(ids, dtype=torch.long)


def _uniforms(
    prompt_ids: Sequence[int], sample_ids: Sequence[int], count: int, seed: int, step: int
) -> Tensor:
    """[B, count] in [0, 1): a pure function of (seed, step, prompt, sample, position)."""
    rows = np.empty((len(sample_ids), count))
    group = len(sample_ids) // max(len(prompt_ids), 1)
    for row, sample_id in enumerate(sample_ids):
        key = struct.pack("<4q", seed, step, prompt_ids[row // group], sample_id)
        words = np.frombuffer(hashlib.blake2b(key, digest_size=16).digest(), dtype=np.uint64)
        rows[row] = np.random.Philox(key=words).random_raw(count) >> np.uint64(12)
    return torch.from_numpy(rows * 2.0**-52)


def _left_padded(prompts: Sequence[Sequence[int]], device: torch.device) -> tuple[Tensor, Tensor]:
    """Token ids [P, L] and attention [P, L], 1 where there is a prompt token."""
    longest = max(len(prompt) for prompt in prompts)
    ids, attend = (
        np.zeros((len(prompts), longest), dtype=np.int64),
        np.zeros((len(prompts), longest), dtype=np.int64),
    )
    for i, prompt in enumerate(prompts):
        ids[i, longest - len(prompt) :] = prompt
        attend[i, longest - len(prompt) :] = 1
    return torch.from_numpy(ids).to(device), torch.from_numpy(attend).to(device)


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)


def check_context(model: nn.Module, prompts: Sequence[Sequence[int]], max_tokens: int) -> None:
    """Refuse prompts and responses that are longer together than what the model reads."""
    limit, longest = context_length(model), max((len(prompt) for prompt in prompts), default=0)
    if limit is not None and longest + max_tokens > limit:
        raise ConfigurationError(
            f"The sampler needs room for the longest prompt ({longest} tokens) and {max_tokens} "
            f"response tokens, but the model "
            f"reads {limit} tokens. Beyond them its positions mean nothing. Lower the prompt "
            f"limit or the response limit."
        )


def check_finite(logprobs: Tensor) -> None:
    """Refuse what broken weights give."""
    if not bool(logprobs.isfinite().all()):
        raise EngineError(
            "The sampler drew from probabilities that are NaN, but it needs finite logits. The "
            "weights of the model are broken, most often by a step that was too large. Resume from "
            "an earlier checkpoint with a lower learning rate, or in float32."
        )
