"""A fixed batch on disk: what was sampled, how it scored, and columns that were computed later."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from jumar.engines.local import checkpoint
from jumar.engines.local.packing import Prompts
from jumar.engines.local.records import response_lines
from jumar.engines.local.rollouts import Rollout, joined
from jumar.types import RolloutBatch

BATCH, ABOUT, RESPONSES = "batch.safetensors", "batch.json", "responses.jsonl"


@dataclass(frozen=True, slots=True, kw_only=True)
class FixedBatch:
    """The tensors of a rollout, the token ids of each row's prompt, and a line to read per row."""

    batch: RolloutBatch
    prompts: Prompts
    lines: Sequence[str]
    seconds: float = 0.0  # that sampling and scoring took

    @classmethod
    def of(cls, rollout: Rollout) -> Self:
        """What of a rollout can be stored."""
        return cls(
            batch=rollout.batch, prompts=rollout.prompts, lines=list(response_lines(rollout))
        )

    @classmethod
    def concat(cls, parts: Sequence[Self]) -> Self:
        """The rows of several; their groups stay apart."""
        return cls(
            batch=joined([part.batch for part in parts]),
            prompts=[prompt for part in parts for prompt in part.prompts],
            lines=[line for part in parts for line in part.lines],
            seconds=sum(part.seconds for part in parts),
        )

    def select(self, rows: Tensor) -> Self:
        """Some rows, in the order of an index."""
        index = rows.tolist()
        return type(self)(
            batch=self.batch.select(rows),
            prompts=[self.prompts[i] for i in index],
            lines=[self.lines[i] for i in index],
        )

    def write(self, directory: Path) -> None:
        """Publish it whole."""
        batch = self.batch
        about = {"step": batch.step, "stage_step": batch.stage_step, "seed": batch.seed}
        beside = {"prompts": [list(prompt) for prompt in self.prompts], "seconds": self.seconds}

        def write(path: Path) -> None:
            save_file({n: c.contiguous() for n, c in batch.columns.items()}, path / BATCH)
            (path / ABOUT).write_text(json.dumps({**about, **beside}))
            text = "".join(line + "\n" for line in self.lines)
            (path / RESPONSES).write_text(text, encoding="utf-8")

        checkpoint.replace_directory(directory, write)

    @classmethod
    def read(cls, directory: Path, device: torch.device) -> Self:
        """What `write` published, verified against its hashes."""
        checkpoint.verify(directory)
        about = json.loads((directory / ABOUT).read_text())
        prompts, seconds = about.pop("prompts"), about.pop("seconds")
        columns = load_file(directory / BATCH, device=str(device))
        return cls(
            batch=RolloutBatch.build(**columns, **about),
            prompts=prompts,
            lines=(directory / RESPONSES).read_text(encoding="utf-8").splitlines(),
            seconds=seconds,
        )


def write_column(directory: Path, name: str, column: Tensor) -> None:
    """Publish one column of a batch, in a directory of its own."""
    checkpoint.replace_directory(
        directory, lambda path: save_file({name: column.contiguous()}, path / BATCH)
    )


def read_column(directory: Path, device: torch.device) -> dict[str, Tensor]:
    """The column under its name."""
    checkpoint.verify(directory)
    found: dict[str, Tensor] = load_file(directory / BATCH, device=str(device))
    return found
