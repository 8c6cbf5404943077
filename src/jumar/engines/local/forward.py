"""The trainer's pass over sampled tokens: log-probs, entropies, hidden states and values of given
responses.

Where a model lets us, rows are packed: no padding, and a prompt stands once; see `packing`. Where
it does not, they are laid out [prompt | response | padding]. A causal model never looks right, so
no attention mask is needed and padding costs time only; micro-batches of similar length keep that
small. Only positions that predict a token of the mask go through a head.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from jumar.engines.local.distributed import summed
from jumar.engines.local.micro_batches import padded_work, response_spans, work
from jumar.engines.local.models import backbone, critic_values, lm_head
from jumar.engines.local.packing import Packed, Prompts, packs
from jumar.engines.local.sampler import Sampling
from jumar.ops.logprobs import entropy, position_spread, token_logprobs


def response_hidden(model: nn.Module, prompts: Prompts, token_ids: Tensor, mask: Tensor) -> Tensor:
    """[N, D]: the hidden state that predicts each token of the mask, in the order of
    `token_ids[mask]`.

    One forward over all rows. Response tokens outside the mask (tool output) are read, but not
    predicted.
    """
    if packs(model):
        packed = Packed.of(prompts, token_ids, response_spans(mask).tolist())
        return packed.hidden(backbone(model))[packed.before(mask)]
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

    return _by_length(model, scored, prompts, token_ids, mask, tokens)


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

    return _by_length(model, scored, prompts, token_ids, mask, tokens)


def response_values(
    critic: nn.Module, prompts: Prompts, token_ids: Tensor, mask: Tensor, *, tokens: int = 8192
) -> Tensor:
    """[B, T]: the critic's value of the state before each response token."""

    def scored(prompts: Prompts, ids: Tensor, mask: Tensor) -> Tensor:
        return critic_values(critic, response_hidden(critic, prompts, ids, mask))

    return _by_length(critic, scored, prompts, token_ids, mask, tokens)


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
    one_by_one = padded_work([1] * len(prompts), group_ids.tolist())
    for group, counts in one_by_one.dealt(1):
        rows = torch.tensor(group, device=mask.device)
        with torch.no_grad():
            hidden = response_hidden(
                model, [prompts[row] for row in group], token_ids[rows], mask[rows]
            )
        here = position_spread(hidden, lm_head(model), mask[rows], temperature=temperature)
        spread[rows] += here.to(spread).expand(len(rows), -1) * (mask[rows] & counts)
    return summed(spread)


def _by_length(
    model: nn.Module,
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
    for batch, counts in work(model, prompts, mask, tokens).dealt(tokens):
        rows = torch.tensor(batch, device=mask.device)
        spoken = mask[rows] & counts
        values = placed(scored([prompts[row] for row in batch], token_ids[rows], spoken), spoken)
        whole = values.new_zeros(mask.shape) if whole is None else whole
        whole.index_add_(0, rows, values)
    assert whole is not None
    return summed(whole)


def _rows(prompts: Prompts, token_ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """[B, S] token ids [prompt | response | 0], and [B] where each response starts."""
    spans, responses = response_spans(mask).cpu().numpy(), token_ids.cpu().numpy()
    starts = np.array([len(prompt) for prompt in prompts])
    rows = np.zeros((len(prompts), int((starts + spans).max())), dtype=np.int64)
    for i, prompt in enumerate(prompts):
        rows[i, : starts[i]] = prompt
        rows[i, starts[i] : starts[i] + spans[i]] = responses[i, : spans[i]]
    device = token_ids.device
    return torch.from_numpy(rows).to(device), torch.from_numpy(starts).to(device)
