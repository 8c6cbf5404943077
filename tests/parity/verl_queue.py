"""verl's TransferQueue without Ray: the calls that a trainer makes of it, on a dictionary."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from unittest import mock

import ray
import transfer_queue
from tensordict import TensorDict
from torch import Tensor
from transfer_queue import KVBatchMeta
from transfer_queue.storage.managers.simple_storage_manager import AsyncSimpleStorageManager

from jumar.engines.verl.columns import listed

CALLS = ("kv_batch_put", "kv_batch_get", "kv_list", "kv_clear", "async_kv_batch_put")


class Queue:
    """The calls of verl's TransferQueue that a trainer makes, on a dictionary."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[str, Any]] = {}
        self.tags: dict[str, dict[str, Any]] = {}

    def kv_batch_put(
        self, keys: Sequence[str], partition_id: str, fields: Any = None, tags: Any = None
    ) -> KVBatchMeta:
        names = [] if fields is None else list(fields.keys())
        columns = {name: _listed(fields, name) for name in names}
        for place, key in enumerate(keys):
            self.rows.setdefault(key, {}).update({n: c[place] for n, c in columns.items()})
            self.tags.setdefault(key, {}).update(tags[place] if tags else {})
        return KVBatchMeta(
            keys=list(keys),
            partition_id=partition_id,
            tags=[self.tags[key] for key in keys],
            fields=list(self.rows[keys[0]]),  # those that are there now, and no later ones
        )

    async def async_kv_batch_put(self, **arguments: Any) -> KVBatchMeta:
        return self.kv_batch_put(**arguments)

    def kv_batch_get(
        self, keys: Sequence[str], partition_id: str, select_fields: Sequence[str] | None = None
    ) -> Any:
        rows = [self.rows[key] for key in keys]
        names = [n for n in rows[0] if select_fields is None or n in select_fields]
        pack = AsyncSimpleStorageManager._pack_field_values
        return TensorDict({n: pack([row[n] for row in rows]) for n in names}, batch_size=len(rows))

    def kv_list(self, partition_id: str | None = None) -> dict[str, Any]:
        return {"train": self.tags}

    def kv_clear(self, keys: Sequence[str], partition_id: str) -> None:
        for key in keys:
            self.rows.pop(key, None)
            self.tags.pop(key, None)


def _listed(fields: Any, name: str) -> list[Any]:
    column = fields.get(name)
    return list(column.unbind()) if isinstance(column, Tensor) else listed(column)


@contextmanager
def standing_in() -> Iterator[Queue]:
    """A queue of the trainer's own, in the place of the real one; Ray is not started to wait."""
    queue = Queue()
    calls = {call: getattr(queue, call) for call in CALLS}
    with mock.patch.multiple(transfer_queue, **calls), mock.patch.object(ray, "get", list):
        yield queue
