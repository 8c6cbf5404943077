"""Packed rows: a pass without padding, in which a prompt stands once for the rows that share it.

All tokens of a micro-batch lie behind one another, [prompt | its responses | prompt | ...], so that
everything in a decoder but attention computes each of them once, forward and backward. Attention is
cut into pieces: a prompt over itself, its responses over it and over themselves. Nothing is
detached or approximated, so gradients are those of rows that are computed apart.

transformers looks attention up by a name. Ours is PACKED, and is its `sdpa` wherever nothing is
packed. `pack` tries it on a model, and leaves one alone whose attention is not full and plain, or
that mixes tokens elsewhere. It also tries prompts that are held once while responses are sampled.
Private names of transformers: `config._attn_implementation`.
"""

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface, DynamicCache
from transformers.cache_utils import DynamicLayer
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from jumar.engines.local.kv_cache import ResponseCache, SharedPrompts
from jumar.engines.local.models import backbone

PACKED, SHARED = "jumar_packed", "jumar_shared"  # SHARED: and its prompts can be held once
WORTH = 0.1  # of the tokens of its rows, which a prompt has to save to be shared
LONGER = 2.0  # than the shortest of its bunch, at most: attention is over padding, too

Prompts = Sequence[Sequence[int]]


def families(
    prompts: Sequence[Hashable], starts: Sequence[int], spans: Sequence[int]
) -> Iterator[list[int]]:
    """Row numbers: rows that share their prompt where that saves enough, any other row alone.

    A row has `starts` tokens of its prompt and `spans` of its response.
    """
    same: dict[Hashable, list[int]] = {}
    for row, prompt in enumerate(prompts):
        same.setdefault(prompt, []).append(row)
    for rows in same.values():
        saved = starts[rows[0]] * (len(rows) - 1)
        if saved > WORTH * sum(starts[row] + spans[row] for row in rows):
            yield rows
        else:
            yield from ([row] for row in rows)


@dataclass(frozen=True, slots=True, eq=False)
class Bunch:
    """Responses of one prompt that are about as long as one another: padded in attention alone."""

    tokens: int  # of all of them
    rows: int
    mask: Tensor  # bool [1, 1, T, prompt + T]: what their tokens see
    spread: Tensor | None = None  # [rows * T]: responses padded to T; None: all have T tokens
    real: Tensor | None = None  # [tokens]: the way back

    @classmethod
    def of(cls, prompt: int, spans: Sequence[int], device: torch.device) -> "Bunch":
        """For responses of `spans` tokens each."""
        longest, spread, real = max(spans), None, None
        mask = torch.ones(longest, prompt + longest, dtype=torch.bool, device=device).tril(prompt)
        if min(spans) < longest:
            lengths, column = torch.tensor(spans), torch.arange(longest)
            inside = column < lengths[:, None]
            begins = (lengths.cumsum(0) - lengths)[:, None]
            spread = ((begins + column) * inside).flatten().to(device)  # padding is any token
            real = inside.flatten().nonzero()[:, 0].to(device)
        return cls(sum(spans), len(spans), mask[None, None], spread, real)

    def padded(self, states: Tensor) -> Tensor:
        """[rows, heads, T, D] from the responses' [1, heads, tokens, D]."""
        every = states[0] if self.spread is None else states[0].index_select(1, self.spread)
        return every.view(len(every), self.rows, -1, every.shape[-1]).transpose(0, 1)


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """One family among the tokens: its prompt, then its responses; alone, a row is all prompt."""

    prompt: int  # tokens
    bunches: Sequence[Bunch] = ()

    @classmethod
    def of(cls, prompt: int, spans: Sequence[int], device: torch.device) -> "Piece":
        """For responses of `spans` tokens each, which are sorted."""
        if len(spans) == 1 or not any(spans):
            return cls(prompt + sum(spans))
        parts: list[list[int]] = []
        for span in filter(None, spans):
            if not parts or span > LONGER * parts[-1][0]:
                parts.append([])
            parts[-1].append(span)
        return cls(prompt, [Bunch.of(prompt, part, device) for part in parts])


@dataclass(frozen=True, slots=True, eq=False)
class Packed:
    """The rows of a micro-batch as one row of tokens."""

    ids: Tensor  # [1, N]
    positions: Tensor  # [1, N], of each token in its own row
    first: Tensor  # [B]: the place of a row's first response token
    last: Tensor  # [B]: that of its prompt's last token
    pieces: Sequence[Piece]

    @classmethod
    def of(cls, prompts: Prompts, token_ids: Tensor, spans: Sequence[int]) -> "Packed":
        """Rows [prompt | response], of which `spans` [B] tokens count in `token_ids` [B, T]."""
        device, responses = token_ids.device, token_ids.cpu().numpy()
        starts = [len(prompt) for prompt in prompts]
        first, last = np.zeros(len(spans), dtype=np.int64), np.zeros(len(spans), dtype=np.int64)
        ids: list[Any] = []
        positions: list[Any] = []
        pieces: list[Piece] = []
        place = 0
        for family in families([tuple(prompt) for prompt in prompts], starts, spans):
            rows = sorted(family, key=spans.__getitem__)
            length = starts[rows[0]]
            ids.append(prompts[rows[0]])
            positions.append(np.arange(length))
            place += length
            last[rows] = place - 1
            for row in rows:
                first[row] = place
                ids.append(responses[row, : spans[row]])
                positions.append(np.arange(length, length + spans[row]))
                place += spans[row]
            pieces.append(Piece.of(length, [spans[row] for row in rows], device))
        flat = [torch.from_numpy(np.concatenate(part, dtype=np.int64)) for part in (ids, positions)]
        ends = torch.from_numpy(first).to(device), torch.from_numpy(last).to(device)
        return cls(flat[0][None].to(device), flat[1][None].to(device), *ends, pieces)

    def hidden(self, body: nn.Module) -> Tensor:
        """[N, D]: the backbone's state after each token."""
        # a mask of four dimensions is passed on unread; an empty one fails whoever would use it
        unread = torch.ones(1, 1, 0, 0, dtype=torch.bool, device=self.ids.device)
        states: Tensor = body(
            input_ids=self.ids, position_ids=self.positions, attention_mask=unread,
            use_cache=False, packed=self.pieces,
        ).last_hidden_state  # fmt: skip
        return states[0]

    def before(self, mask: Tensor) -> Tensor:
        """[n]: the place of the state that predicts each token of `mask` [B, T]."""
        row, column = mask.nonzero(as_tuple=True)
        return torch.where(column == 0, self.last[row], self.first[row] + column - 1)


def packed_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    packed: Sequence[Piece] | None = None,
    shared: SharedPrompts | None = None,
    **options: Any,
) -> tuple[Tensor, None]:
    """[1, N, heads, D]: each piece by transformers' own function; so is all that is not packed."""
    if shared is not None:
        scale = options.get("scaling") or query.shape[-1] ** -0.5
        index: Any = module.layer_idx
        return shared.attention(index, query, (key, value), scale), None
    if packed is None:
        whole: Tensor = sdpa_attention_forward(
            module, query, key, value, attention_mask, **options
        )[0]
        return whole, None
    sizes = [
        n for piece in packed for n in (piece.prompt, *(some.tokens for some in piece.bunches))
    ]
    # slices would do, but each of them has a gradient of the size of the whole
    every = zip(*(torch.split(states, sizes, dim=2) for states in (query, key, value)), strict=True)
    found = []
    for piece in packed:
        prompt = next(every)
        found.append(sdpa_attention_forward(module, *prompt, None, **options)[0])
        for some in piece.bunches:
            own = [some.padded(states) for states in next(every)]
            before = [states.expand(some.rows, -1, -1, -1) for states in prompt[1:]]
            seen = [torch.cat(pair, dim=2) for pair in zip(before, own[1:], strict=True)]
            out = sdpa_attention_forward(module, own[0], *seen, some.mask, **options)[0]
            out = out.flatten(0, 1)
            found.append((out if some.real is None else out.index_select(0, some.real))[None])
    return torch.cat(found, dim=1), None


for name in (PACKED, SHARED):
    AttentionInterface.register(name, packed_attention)
    AttentionMaskInterface.register(name, sdpa_mask)


# ---------------------------------------------------------------------- which models


def packs(model: nn.Module) -> bool:
    """Whether its rows can be packed."""
    config: Any = model.config
    return config._attn_implementation in (PACKED, SHARED)


def shares(model: nn.Module) -> bool:
    """Whether prompts can be held once while it samples: its cache is what its attention reads."""
    config: Any = model.config
    return bool(config._attn_implementation == SHARED)


def pack(model: Any) -> None:
    """Pack its rows from now on, and share prompts, if that gives what rows apart give."""
    config: Any = model.config
    layers = DynamicCache(config=config).layers
    full = all(type(layer) is DynamicLayer for layer in layers)  # no window, no recurrence
    if config._attn_implementation != "sdpa" or not full:
        return
    prompts, spans = [[0, 1, 2, 3], [0, 1, 2, 3], [4]], [3, 2, 2]
    ids = torch.tensor([[5, 6, 7], [7, 5, 0], [6, 5, 0]], device=model.device) % config.vocab_size
    prompts = [[token % config.vocab_size for token in prompt] for prompt in prompts]
    rows = [[*prompt, *ids[i, : spans[i]].tolist()] for i, prompt in enumerate(prompts)]
    body, last = backbone(model), [[len(row) - 2, len(row) - 1] for row in rows]
    begins = [[len(prompt), len(prompt) + 1] for prompt in prompts]
    with torch.no_grad():
        alone = [
            body(input_ids=ids.new_tensor([row]), use_cache=False).last_hidden_state[0]
            for row in rows
        ]
        for name, trial, places in ((PACKED, _packed, last), (SHARED, _shared, begins)):
            before, config._attn_implementation = config._attn_implementation, name
            wanted = torch.stack([alone[row][places[row]] for row in range(len(rows))])
            try:
                found = trial(model, body, prompts, ids, spans)
            except Exception:  # whatever a model does with what it does not know
                found = torch.full_like(wanted, torch.nan)
            tolerance = (1e-4 if wanted.dtype.itemsize > 2 else 0.05) * (1.0 + wanted.abs().max())
            if not bool(((found - wanted).abs() <= tolerance).all()):
                config._attn_implementation = before
                return


def _packed(
    _: nn.Module, body: nn.Module, prompts: Prompts, ids: Tensor, spans: Sequence[int]
) -> Tensor:
    """[rows, 2, D]: the states after the last two tokens of each row."""
    packed = Packed.of(prompts, ids, spans)
    last = packed.first + torch.tensor(spans, device=ids.device) - 1
    return packed.hidden(body)[torch.stack([last - 1, last], dim=1)]


def _shared(
    model: nn.Module, body: nn.Module, prompts: Prompts, ids: Tensor, _: Sequence[int]
) -> Tensor:
    """[rows, 2, D]: the states after the first two response tokens, sampled over held prompts."""
    unique = [prompts[0], prompts[2]]
    attend = torch.tensor([[0] * (4 - len(p)) + [1] * len(p) for p in unique], device=ids.device)
    padded = ids.new_tensor([[0] * (4 - len(p)) + [*p] for p in unique])
    places, cache = (attend.cumsum(dim=1) - 1).clamp(min=0), DynamicCache(config=model.config)
    body(
        input_ids=padded, attention_mask=attend, position_ids=places, past_key_values=cache,
        use_cache=True,
    )  # fmt: skip
    held = SharedPrompts.of(cache, torch.tensor([0, 0, 1], device=ids.device), attend.bool())
    rows, lengths = ResponseCache(cache, None, held), ids.new_tensor([len(p) for p in prompts])
    states = [
        body(
            input_ids=ids[:, t : t + 1], position_ids=(lengths + t)[:, None], use_cache=True,
            **rows.inputs(),
        ).last_hidden_state[:, -1]
        for t in range(2)
    ]  # fmt: skip
    return torch.stack(states, dim=1)
