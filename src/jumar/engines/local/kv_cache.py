"""The sampler's key-value cache: holds a prompt once for its group or repeats it, grows without
copying, lets rows leave cheaply.

transformers' DynamicLayer copies all keys and values for every token (cat) and again for every row
that ends (index). On a small model that is half of the sampling time. Here a token is written into
spare room, and the last rows move into the places of rows that end. Layers of other kinds (sliding
windows) keep transformers' own way.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

ROOM = 64  # tokens of spare room, at least
WORTH = 4096  # tokens of copies that have to be saved, or repeating a prompt is the faster way


class RoomyLayer(DynamicLayer):  # type: ignore[misc]
    """Keys and values [B, heads, tokens, D] as views of larger buffers."""

    def __init__(self, keys: Tensor, values: Tensor) -> None:
        super().__init__()
        self.dtype, self.device, self.is_initialized = keys.dtype, keys.device, True
        self.keys, self.values = keys, values
        self._buffers = (keys, values)

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: object, **kwargs: object
    ) -> tuple[Tensor, Tensor]:
        """Append the new tokens; all keys and values."""
        rows, _, start, _ = self.keys.shape
        end = start + key_states.shape[-2]
        if end > self._buffers[0].shape[-2]:
            room = max(ROOM, start // 2) + key_states.shape[-2]
            self._buffers = (_with_room(self.keys, room), _with_room(self.values, room))
        for buffer, new in zip(self._buffers, (key_states, value_states), strict=True):
            buffer[:rows, :, start:end] = new
        self.keys, self.values = (buffer[:rows, :, :end] for buffer in self._buffers)
        return self.keys, self.values

    def drop(self, holes: Tensor, tails: Tensor, count: int) -> None:
        """Keep `count` rows: rows `tails` move to the places `holes`."""
        for states in (self.keys, self.values):
            states[holes] = states[tails]
        self.keys, self.values = self.keys[:count], self.values[:count]


@dataclass(slots=True, eq=False)
class SharedPrompts:
    """Keys and values of prompts, each held and read once for all responses that continue it.

    A token's attention is that over its prompt, for which the queries of a group are gathered, and
    that over its own response, put together by the weights that both have. Rounding apart it is
    the attention over repeated prompts.
    """

    layers: list[tuple[Tensor, Tensor]]  # keys and values [P, heads, L, D] of each layer
    seen: Tensor | None  # bool [P, L]: not padding; None where nothing is
    prompt: Tensor  # [rows]: which one a row continues
    place: Tensor  # [rows]: of a row's query among [P * group]
    group: int  # rows of one prompt, at most

    @classmethod
    def of(cls, cache: DynamicCache, prompt: Tensor, seen: Tensor | None) -> "SharedPrompts":
        """Take the prompts out of a cache, which then begins with the responses."""
        layers = [(layer.keys, layer.values) for layer in cache.layers]
        cache.layers = [
            RoomyLayer(*(states[prompt, :, :0] for states in layer)) for layer in layers
        ]
        shared = cls(layers, seen, prompt, prompt, 0)
        shared._gather()
        return shared

    def drop(self, order: Tensor) -> None:
        """Row i was row `order[i]`. Prompts are copied once at most half of them are continued."""
        self.prompt = self.prompt[order]
        held, place = torch.unique(self.prompt, return_inverse=True)
        if 2 * len(held) <= len(self.layers[0][0]):
            self.layers = [(keys[held], values[held]) for keys, values in self.layers]
            self.seen = None if self.seen is None else self.seen[held]
            self.prompt = place
        self._gather()

    def _gather(self) -> None:
        order = self.prompt.argsort(stable=True)
        counts = self.prompt.bincount(minlength=len(self.layers[0][0]))
        number = torch.empty_like(order)  # of a row within its prompt's
        number[order] = torch.arange(len(order), device=order.device)
        number -= (counts.cumsum(0) - counts)[self.prompt]
        self.group = int(counts.max()) if len(order) else 0
        self.place = self.prompt * self.group + number

    def attention(
        self, layer: int, query: Tensor, own: tuple[Tensor, Tensor], scale: float
    ) -> Tensor:
        """[rows, 1, heads, D]: of one token each, over its prompt and its `own` keys and values."""
        keys, values = self.layers[layer]
        prompts, heads = keys.shape[:2]
        query = query.reshape(len(query), heads, -1, query.shape[-1]) * scale  # [rows, H, q, D]
        every = query.new_zeros(prompts * self.group, *query.shape[1:])
        every[self.place] = query
        every = every.view(prompts, self.group, *query.shape[1:]).transpose(1, 2)
        scores = every.flatten(2, 3) @ keys.transpose(2, 3)  # [P, H, group * q, L]
        if self.seen is not None:
            scores.masked_fill_(~self.seen[:, None, None], -torch.inf)
        over_prompt, weight, most = (
            part.view(*every.shape[:4], -1).transpose(1, 2).flatten(0, 1)[self.place]
            for part in _weighted(scores, values)
        )
        over_own, own_weight, own_most = _weighted(query @ own[0].transpose(2, 3), own[1])
        top = torch.maximum(most, own_most)
        factor, own_factor = (most - top).exp(), (own_most - top).exp()
        out = over_prompt * factor + over_own * own_factor
        out = out / (weight * factor + own_weight * own_factor)
        return out.flatten(1, 2)[:, None]


def _weighted(scores: Tensor, values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Sum of values [..., N, D] by exp(score - greatest), that sum of weights, and the greatest."""
    most = scores.amax(dim=-1, keepdim=True)
    weights = (scores - most).exp_()
    return weights @ values, weights.sum(dim=-1, keepdim=True), most


@dataclass(slots=True, eq=False)
class ResponseCache:
    """What the next token of each row is computed with; rows leave when they have ended."""

    cache: DynamicCache
    seen: Tensor | None  # [rows, tokens]: 0 where a repeated prompt is padding; None: no padding
    shared: SharedPrompts | None

    @classmethod
    def of(
        cls, cache: DynamicCache, prompt: Tensor, attend: Tensor | None, *, most: int, share: bool
    ) -> "ResponseCache":
        """Row i continues prompt `prompt[i]` of a `cache`, by `most` tokens. `attend` [P, L] is 0
        at padding; prompts are held once if the model can `share` them and it is worth it.
        """
        keys = cache.layers[0].keys
        copies = (len(prompt) - len(keys)) * keys.shape[2]
        if share and copies >= WORTH and keys.dtype.itemsize > 2:  # scores have the dtype of keys
            shared = SharedPrompts.of(cache, prompt, None if attend is None else attend.bool())
            return cls(cache, None, shared)
        cache.batch_select_indices(prompt)
        cache.layers = [
            RoomyLayer(layer.keys, layer.values) if type(layer) is DynamicLayer else layer
            for layer in cache.layers
        ]
        seen = None if attend is None else nn.functional.pad(attend[prompt], (0, most), value=1)
        return cls(cache, seen, None)

    def inputs(self) -> dict[str, Any]:
        """For the model, with one token of each row."""
        if self.shared is not None:
            unread = self.shared.prompt.new_zeros(1, 1, 0, 0, dtype=torch.bool)
            return {
                "past_key_values": self.cache, "attention_mask": unread, "shared": self.shared
            }  # fmt: skip
        seen = None if self.seen is None else self.seen[:, : self.cache.get_seq_length() + 1]
        return {"past_key_values": self.cache, "attention_mask": seen}

    def drop(self, going: Tensor) -> Tensor:
        """[n] row numbers: remove the rows where `going` is False; the new row i was row
        `result[i]`.
        """
        count = int(going.sum())
        holes = going[:count].logical_not().nonzero()[:, 0]
        tails = going[count:].nonzero()[:, 0] + count
        order = torch.arange(count, device=going.device)
        order[holes] = tails
        for layer in self.cache.layers:
            if isinstance(layer, RoomyLayer):
                layer.drop(holes, tails, count)
            else:
                layer.batch_select_indices(order)
        self.seen = None if self.seen is None else self.seen[order]
        if self.shared is not None:
            self.shared.drop(order)
        return order


def _with_room(states: Tensor, room: int) -> Tensor:
    rows, heads, tokens, width = states.shape
    buffer = states.new_empty(rows, heads, tokens + room, width)
    buffer[:, :, :tokens] = states
    return buffer
