"""The trainer's pass over sampled tokens: log-probs, entropies, hidden states and values of given
responses.

Rows are laid out [prompt | response | padding]. A causal model never looks right, so no attention
mask is needed and padding costs time only; micro-batches of similar length keep that small. Only
positions that predict a token of the mask go through a head.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from jumar.engines.local.distributed import rank, summed, world
from jumar.engines.local.models import backbone, critic_values, lm_head
from jumar.engines.local.sampler import Sampling
from jumar.ops.logprobs import entropy, position_spread, token_logprobs
from jumar.types import RolloutBatch

Prompts = Sequence[Sequence[int]]


def response_hidden(model: nn.Module, prompts: Prompts, token_ids: Tensor, mask: Tensor) -> Tensor:
    """[N, D]: the hidden state that predicts each token of the mask, in the order of
    `token_ids[mask]`.

    One forward over all rows. Response tokens outside the mask (tool output) are read, but not
    predicted.
    """
    ids, starts = _rows(prompts, token_ids, mask)
    hidden: Tensor = backbone(model)(input_ids=ids, use_cache=False).last_hidden_state
    row, column = mask.nonzero(as_tuple=True)
    return hidden[row, starts[row] + column - 1]


def placed(values: Tensor, mask: Tensor) -> Tensor:
    """[B, T]: per-token values [N] at the mask's positions, 0 elsewhere."""
    return values.new_zeros(mask.shape).masked_scatter(mask, values)


def response_logprobs(
    model: nn.Module,
    prompts: Prompts,
    token_ids: Tensor,
    mask: Tensor,
    *,
    sampling: Sampling,
    tokens: int = 8192,
) -> Tensor:
    """[B, T] nats: log-prob of each response token under the distribution that is sampled from.

    Carries a gradient unless called under `torch.no_grad()`; at most `tokens` tokens go through
    the model at once.
    """

    def scored(prompts: Prompts, ids: Tensor, mask: Tensor) -> Tensor:
        hidden = response_hidden(model, prompts, ids, mask)
        return token_logprobs(
            hidden,
            lm_head(model),
            ids[mask],
            temperature=sampling.temperature,
            top_k=sampling.top_k,
            top_p=sampling.top_p,
        )

    return _by_length(scored, prompts, token_ids, mask, tokens)


def response_entropies(
    model: nn.Module,
    prompts: Prompts,
    token_ids: Tensor,
    mask: Tensor,
    *,
    temperature: float,
    tokens: int = 8192,
) -> Tensor:
    """[B, T] nats: entropy of the distribution from which each response token was drawn, before
    top-k and top-p.
    """

    def scored(prompts: Prompts, ids: Tensor, mask: Tensor) -> Tensor:
        hidden = response_hidden(model, prompts, ids, mask)
        return entropy(hidden, lm_head(model), temperature=temperature)

    return _by_length(scored, prompts, token_ids, mask, tokens)


def response_values(
    critic: nn.Module, prompts: Prompts, token_ids: Tensor, mask: Tensor, *, tokens: int = 8192
) -> Tensor:
    """[B, T]: the critic's value of the state before each response token."""

    def scored(prompts: Prompts, ids: Tensor, mask: Tensor) -> Tensor:
        return critic_values(critic, response_hidden(critic, prompts, ids, mask))

    return _by_length(scored, prompts, token_ids, mask, tokens)


def group_spreads(
    model: nn.Module,
    prompts: Prompts,
    token_ids: Tensor,
    mask: Tensor,
    group_ids: Tensor,
    *,
    temperature: float = 1.0,
) -> Tensor:
    """[B, T] nats: how far apart the next-token distributions of a group are at each position.

    Without gradient; one group goes through the model at once.
    """
    spread = torch.zeros(mask.shape, device=mask.device)
    for group, counts in dealt_batches(row_lengths(prompts, mask), 1, group_ids.tolist()):
        rows = torch.tensor(group, device=mask.device)
        with torch.no_grad():
            hidden = response_hidden(
                model, [prompts[row] for row in group], token_ids[rows], mask[rows]
            )
        here = position_spread(hidden, lm_head(model), mask[rows], temperature=temperature)
        spread[rows] += here.to(spread).expand(len(rows), -1) * (mask[rows] & counts)
    return summed(spread)


def micro_batches(
    lengths: Sequence[int], tokens: int, groups: Sequence[int] | None = None
) -> Iterator[list[int]]:
    """Row numbers of each micro-batch: similar lengths together, rows * longest <= `tokens`, each
    row once.

    Rows of one group stay together where `groups` are given. A row or group that is over the limit
    is a batch of its own.
    """
    yield from _packed(_units(lengths, groups), lengths, tokens)


def dealt_batches(
    lengths: Sequence[int], tokens: int, groups: Sequence[int] | None = None
) -> list[tuple[list[int], bool]]:
    """The micro-batches of one of several processes, and whether each is for its result.

    Rows or groups are dealt by length over the processes. One that has fewer micro-batches than
    others repeats one without its tokens: where weights are dealt, nobody can run a pass alone.
    """
    units = _units(lengths, groups)
    each = [list(_packed(units[first :: world()], lengths, tokens)) for first in range(world())]
    own = [(rows, True) for rows in each[rank()]]
    return own + [(units[0], False)] * (max(map(len, each)) - len(own))


def dealt_splits(
    batch: RolloutBatch, prompts: Prompts, tokens: int, groups: Sequence[int] | None
) -> list[tuple[list[int], RolloutBatch]]:
    """The same of a batch, each with the batch that its rows are of: this one, or one without
    tokens, whose rows add exactly 0 to loss, gradient and metrics.
    """
    columns: dict[str, Any] = {**batch.columns, "mask": torch.zeros_like(batch.mask)}
    silent = replace(batch, columns=RolloutBatch.build(**columns).columns)
    dealt = dealt_batches(row_lengths(prompts, batch.mask), tokens, groups)
    return [(rows, batch if counts else silent) for rows, counts in dealt]


def _units(lengths: Sequence[int], groups: Sequence[int] | None) -> list[list[int]]:
    """Rows that stay together, the shortest first."""
    units: dict[int, list[int]] = {}
    for row in range(len(lengths)):
        units.setdefault(row if groups is None else groups[row], []).append(row)
    return sorted(units.values(), key=lambda rows: (max(lengths[row] for row in rows), rows[0]))


def _packed(units: Sequence[list[int]], lengths: Sequence[int], tokens: int) -> Iterator[list[int]]:
    batch: list[int] = []
    for rows in units:
        if batch and (len(batch) + len(rows)) * max(lengths[row] for row in rows) > tokens:
            yield batch
            batch = []
        batch = batch + rows
    if batch:
        yield batch


def row_lengths(prompts: Prompts, mask: Tensor) -> list[int]:
    """Tokens of each row, prompt and response together."""
    spans = _spans(mask).tolist()
    return [len(prompt) + span for prompt, span in zip(prompts, spans, strict=True)]


def _by_length(
    scored: Callable[[Prompts, Tensor, Tensor], Tensor],
    prompts: Prompts,
    token_ids: Tensor,
    mask: Tensor,
    tokens: int,
) -> Tensor:
    """[B, T]: `scored` over micro-batches, put back in the rows' order; without a gradient where
    several processes take a share each.
    """
    whole: Tensor | None = None
    for batch, counts in dealt_batches(row_lengths(prompts, mask), tokens):
        rows = torch.tensor(batch, device=mask.device)
        spoken = mask[rows] & counts
        values = placed(scored([prompts[row] for row in batch], token_ids[rows], spoken), spoken)
        whole = values.new_zeros(mask.shape) if whole is None else whole
        whole.index_add_(0, rows, values)
    assert whole is not None
    return summed(whole)


def _spans(mask: Tensor) -> Tensor:
    """[B] tokens: up to the last position of the mask."""
    positions = torch.arange(1, mask.shape[1] + 1, device=mask.device)
    return (
        (mask * positions).amax(dim=1)
        if mask.shape[1]
        else mask.new_zeros(mask.shape[0], dtype=torch.long)
    )


def _rows(prompts: Prompts, token_ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """[B, S] token ids [prompt | response | 0], and [B] where each response starts."""
    spans, responses = _spans(mask).cpu().numpy(), token_ids.cpu().numpy()
    starts = np.array([len(prompt) for prompt in prompts])
    rows = np.zeros((len(prompts), int((starts + spans).max())), dtype=np.int64)
    for i, prompt in enumerate(prompts):
        rows[i, : starts[i]] = prompt
        rows[i, starts[i] : starts[i] + spans[i]] = responses[i, : spans[i]]
    device = token_ids.device
    return torch.from_numpy(rows).to(device), torch.from_numpy(starts).to(device)
