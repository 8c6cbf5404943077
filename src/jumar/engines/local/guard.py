"""Numbers that are none: a run stops before they reach a weight, and leaves the batch with them."""

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from jumar.disk import clear_errors
from jumar.engines.local.distributed import is_main
from jumar.errors import EngineError
from jumar.types import RolloutBatch

NAN_MEANS_NONE = {"reward_parts", "cut_values"}  # a reward without such a part, a token not asked


@dataclass(frozen=True, slots=True)
class Guard:
    """Looks at what an algorithm computes with, and at what it computes."""

    algorithm: str
    directory: Path

    def check(self, what: str, value: Tensor, batch: RolloutBatch) -> None:
        """Refuse a number [] of a step, or a sum in which each of its numbers counts."""
        if not bool(torch.isfinite(value)):
            self._stop(f"a {what} of {value.item()}", batch)

    def check_columns(self, batch: RolloutBatch) -> None:
        """Refuse a column with a number that is none; masked positions are 0."""
        for name, column in batch.columns.items():
            wrong = column[~torch.isfinite(column)]
            if len(wrong) and name not in NAN_MEANS_NONE:
                self._stop(f"`{name}` of {wrong[0].item()} ({len(wrong)} times)", batch)

    def _stop(self, found: str, batch: RolloutBatch) -> None:
        step = batch.step + 1
        path = self.directory / f"failed-step-{step:06d}.safetensors"
        if is_main():
            with clear_errors(path):
                columns = {n: c.detach().contiguous() for n, c in batch.columns.items()}
                save_file(columns, path)
        raise EngineError(
            f"`{self.algorithm}` got {found} at step {step}, but training needs finite numbers: "
            f"one NaN destroys every weight. The batch is in {path}. Look at its columns, lower "
            "the learning rate, or resume from the last checkpoint."
        )
