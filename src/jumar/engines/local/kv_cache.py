"""The sampler's key-value cache: repeats prompts for their groups, grows without copying, lets
rows leave cheaply.

transformers' DynamicLayer copies all keys and values for every token (cat) and again for every row
that ends (index). On a small model that is half of the sampling time. Here a token is written into
spare room, and the last rows move into the places of rows that end. Layers of other kinds (sliding
windows) keep transformers' own way.
"""

import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

ROOM = 64  # tokens of spare room, at least


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


def repeat_rows(cache: DynamicCache, member: Tensor) -> None:
    """Turn a cache of prompts into one of responses: row i continues prompt `member[i]`."""
    cache.batch_select_indices(member)
    cache.layers = [
        RoomyLayer(layer.keys, layer.values) if type(layer) is DynamicLayer else layer
        for layer in cache.layers
    ]


def drop_rows(cache: DynamicCache, going: Tensor) -> Tensor:
    """[n] row numbers: remove the rows where `going` is False; the new row i was row
    `result[i]`.
    """
    count = int(going.sum())
    holes = going[:count].logical_not().nonzero()[:, 0]
    tails = going[count:].nonzero()[:, 0] + count
    order = torch.arange(count, device=going.device)
    order[holes] = tails
    for layer in cache.layers:
        if isinstance(layer, RoomyLayer):
            layer.drop(holes, tails, count)
        else:
            layer.batch_select_indices(order)
    return order


def _with_room(states: Tensor, room: int) -> Tensor:
    rows, heads, tokens, width = states.shape
    buffer = states.new_empty(rows, heads, tokens + room, width)
    buffer[:, :, :tokens] = states
    return buffer
