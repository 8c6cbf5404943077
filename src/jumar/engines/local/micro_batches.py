"""How the rows of a pass are cut into micro-batches, and dealt over processes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from jumar.engines.local.distributed import rank, world
from jumar.engines.local.packing import Prompts, families, packs
from jumar.types import RolloutBatch

COPIES = 16  # tokens whose copied keys and values take the memory of one that is computed


@dataclass(frozen=True, slots=True)
class Unit:
    """Rows that stay together, and their tokens: all of them if packed, else the longest row's."""

    rows: list[int]
    tokens: int


@dataclass(frozen=True, slots=True)
class Work:
    """What goes through a model, the shortest rows first."""

    units: Sequence[Unit]
    packed: bool

    def micro_batches(self, limit: int) -> Iterator[list[int]]:
        """Row numbers of each: similar lengths together, at most `limit` tokens that are computed,
        each row once. A unit that is over the limit is a batch of its own.
        """
        batch: list[Unit] = []
        for unit in self.units:
            if batch and self._tokens([*batch, unit]) > limit:
                yield [row for part in batch for row in part.rows]
                batch = []
            batch.append(unit)
        if batch:
            yield [row for part in batch for row in part.rows]

    def _tokens(self, batch: Sequence[Unit]) -> int:
        if self.packed:
            return sum(unit.tokens for unit in batch)
        return sum(len(unit.rows) for unit in batch) * max(unit.tokens for unit in batch)

    def dealt(self, limit: int) -> list[tuple[list[int], bool]]:
        """The micro-batches of one of several processes, and whether each is for its result.

        Units are dealt by length over the processes. One that has fewer micro-batches than others
        repeats one without its tokens: where weights are dealt, nobody can run a pass alone.
        """
        shares = [replace(self, units=self.units[first :: world()]) for first in range(world())]
        each = [list(share.micro_batches(limit)) for share in shares]
        own = [(rows, True) for rows in each[rank()]]
        return own + [(self.units[0].rows, False)] * (max(map(len, each)) - len(own))


def padded_work(lengths: Sequence[int], groups: Sequence[int] | None = None) -> Work:
    """Rows of so many tokens; those of one group stay together where `groups` are given."""
    together = [[row] for row in range(len(lengths))] if groups is None else _members(groups)
    units = [Unit(rows, max(lengths[row] for row in rows)) for rows in together]
    return Work(_shortest_first(units), packed=False)


def packed_work(
    prompts: Prompts, spans: Sequence[int], limit: int, groups: Sequence[int] | None = None
) -> Work:
    """The same without padding: rows that share a prompt stay together as far as `limit` allows,
    and it counts once, beside its copied keys and values.
    """
    numbers: dict[tuple[int, ...], int] = {}
    rows = [
        (numbers.setdefault(tuple(prompt), len(numbers)), len(prompt), span)
        for prompt, span in zip(prompts, spans, strict=True)
    ]

    def shared(some: Sequence[int]) -> list[list[int]]:
        columns = zip(*(rows[row] for row in some), strict=True)
        return [[some[place] for place in family] for family in families(*columns)]

    def tokens(some: Sequence[int]) -> int:
        count = 0
        for family in shared(some):
            prompt, responses = rows[family[0]][1], sum(rows[row][2] for row in family)
            copied = prompt * len(family) + responses if len(family) > 1 else 0
            count += prompt + responses + copied // COPIES
        return count

    together: list[list[int]] = [] if groups is None else _members(groups)
    if groups is None and rows:
        for family in shared(range(len(rows))):
            part: list[int] = []
            for row in family:
                if part and tokens([*part, row]) > limit:
                    together.append(part)
                    part = []
                part = [*part, row]
            together.append(part)
    return Work(_shortest_first([Unit(some, tokens(some)) for some in together]), packed=True)


def work(
    model: nn.Module,
    prompts: Prompts,
    mask: Tensor,
    limit: int,
    groups: Sequence[int] | None = None,
) -> Work:
    """What goes through this model: rows [prompt | response], whose tokens `mask` [B, T] has."""
    spans = response_spans(mask).tolist()
    if packs(model):
        return packed_work(prompts, spans, limit, groups)
    lengths = [len(prompt) + span for prompt, span in zip(prompts, spans, strict=True)]
    return padded_work(lengths, groups)


def dealt_splits(
    model: nn.Module,
    batch: RolloutBatch,
    prompts: Prompts,
    limit: int,
    groups: Sequence[int] | None,
) -> list[tuple[list[int], RolloutBatch]]:
    """A process's micro-batches, each with the batch that its rows are of: this one, or one without
    tokens, whose rows add exactly 0 to loss, gradient and metrics.
    """
    columns: dict[str, Any] = {**batch.columns, "mask": torch.zeros_like(batch.mask)}
    silent = replace(batch, columns=RolloutBatch.build(**columns).columns)
    dealt = work(model, prompts, batch.mask, limit, groups).dealt(limit)
    return [(rows, batch if counts else silent) for rows, counts in dealt]


def response_spans(mask: Tensor) -> Tensor:
    """[B] tokens: up to the last position of the mask."""
    if not mask.shape[1]:
        return mask.new_zeros(mask.shape[0], dtype=torch.long)
    positions = torch.arange(1, mask.shape[1] + 1, device=mask.device)
    return (mask * positions).amax(dim=1)


def _members(groups: Sequence[int]) -> list[list[int]]:
    members: dict[int, list[int]] = {}
    for row, group in enumerate(groups):
        members.setdefault(group, []).append(row)
    return list(members.values())


def _shortest_first(units: Sequence[Unit]) -> list[Unit]:
    return sorted(units, key=lambda unit: (unit.tokens, unit.rows[0]))
