"""The trainer's pass over sampled tokens: log-probs, entropies, hidden states and values of given
responses.

Rows are laid out [prompt | response | padding]. A causal model never looks right, so no attention
mask is needed and padding costs time only; micro-batches of similar length keep that small. Only
positions that predict a token of the mask go through a head.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from jumar.engines.local.models import backbone, critic_values, lm_head
from jumar.engines.local.sampler import Sampling
from jumar.ops.logprobs import entropy, position_spread, token_logprobs

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
    for group in torch.unique(group_ids):
        rows = (group_ids == group).nonzero()[:, 0]
        with torch.no_grad():
            hidden = response_hidden(
                model, [prompts[row] for row in rows.tolist()], token_ids[rows], mask[rows]
            )
        here = position_spread(hidden, lm_head(model), mask[rows], temperature=temperature)
        spread[rows] = here.to(spread).expand(len(rows), -1) * mask[rows]
    return spread


def micro_batches(
    lengths: Sequence[int], tokens: int, groups: Sequence[int] | None = None
) -> Iterator[list[int]]:
    """Row numbers of each micro-batch: similar lengths together, rows * longest <= `tokens`, each
    row once.

    Rows of one group stay together where `groups` are given. A row or group that is over the limit
    is a batch of its own.
    """
    units: dict[int, list[int]] = {}
    for row in range(len(lengths)):
        units.setdefault(row if groups is None else groups[row], []).append(row)
    longest = {unit: max(lengths[row] for row in rows) for unit, rows in units.items()}
    batch: list[int] = []
    for unit in sorted(units, key=lambda unit: (longest[unit], units[unit][0])):
        if batch and (len(batch) + len(units[unit])) * longest[unit] > tokens:
            yield batch
            batch = []
        batch = batch + units[unit]
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
    """[B, T]: `scored` over micro-batches, put back in the rows' order."""
    batches = list(micro_batches(row_lengths(prompts, mask), tokens))
    if len(batches) == 1:
        return placed(scored(prompts, token_ids, mask), mask)
    parts = []
    for batch in batches:
        rows = torch.tensor(batch, device=mask.device)
        parts.append(
            placed(scored([prompts[row] for row in batch], token_ids[rows], mask[rows]), mask[rows])
        )
    order = torch.tensor([row for batch in batches for row in batch], device=mask.device)
    return torch.cat(parts)[order.argsort()]


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
