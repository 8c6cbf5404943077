"""Many optimiser steps on one fixed batch, from a copy of a model; resumable in the middle.

The verb behind extreme teachers and their students. Groups are dealt into steps anew in each epoch;
a critic's values, and the advantages made of them, are renewed with each epoch, too.
"""

import json
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from jumar.engines.contract import Observer
from jumar.engines.local import checkpoint
from jumar.engines.local.distributed import is_main
from jumar.engines.local.lora import policy_writer
from jumar.engines.local.records import Records
from jumar.engines.local.stored import FixedBatch
from jumar.engines.local.trained import Trained
from jumar.engines.local.update import Updater, means
from jumar.errors import DataError
from jumar.types import RolloutBatch, State


def snapshot(directory: Path, step: int) -> Path:
    """Where a fit leaves the model of an optimiser step."""
    return directory / f"step-{step:06d}"


@dataclass(slots=True, kw_only=True)
class Fitting:
    """One call of `fit`: what it trains, on what, and where it keeps what it made."""

    updater: Updater
    trained: Trained
    rollout: FixedBatch
    tokenizer: Any
    directory: Path
    observer: Observer
    prompts: int  # groups of one optimiser step

    def run(self, steps: int, snapshots: Collection[int]) -> float:
        """`steps` optimiser steps, going on after the newest checkpoint of this very call; leaves
        the model in `last` and those of `snapshots` beside it. Seconds of all the steps there are.
        """
        start = perf_counter()
        batch, state = self._prepared()
        done, batch, state = self._restored(batch, state)
        records = Records(self.directory, writes=is_main())
        records.truncate(done)
        prepared = perf_counter() - start
        for step in range(done + 1, steps + 1):
            start = perf_counter()
            epoch, place = divmod(step - 1, self._steps_per_epoch(batch))
            if place == 0 and epoch > 0 and self.updater.models.critic is not None:
                batch, state, _ = self._signals(batch, state)
            metrics, norm = self.updater.step(
                batch, self.rollout.prompts, self._rows(batch, epoch, place)
            )
            numbers = means(metrics) | {"grad_norm": norm, "time/step": perf_counter() - start}
            records.append(step, numbers, None)
            self.observer.on_step(step, steps, numbers)
            if step in snapshots:
                checkpoint.replace_directory(snapshot(self.directory, step), self._writer())
            if step % self.updater.settings.checkpoints.every == 0 and step < steps:
                self._save(step, batch, state)
        checkpoint.replace_directory(self.directory / "last", self._writer())
        return prepared + records.total("time/step")

    def _prepared(self) -> tuple[RolloutBatch, State]:
        algorithm, stored = self.updater.algorithm, self.rollout
        rows = algorithm.keep(stored.batch).nonzero()[:, 0]
        if not len(rows):
            raise DataError(
                f"`{algorithm.name}` keeps no response of the fixed batch, but a fit needs some to "
                "learn from. It filters by outcome, and all of them have the same. Sample more "
                "prompts, or fit another algorithm."
            )
        self.rollout = stored.select(rows)
        batch, state, _ = self._signals(self.rollout.batch, algorithm.init_state())
        return batch, state

    def _signals(self, batch: RolloutBatch, state: State) -> tuple[RolloutBatch, State, Any]:
        batch = self.updater.with_columns(batch, self.rollout.prompts)
        # the reward is shaped from the verifier's, not from what an earlier epoch made of it
        batch = batch.with_columns(rewards=self.rollout.batch.rewards)
        return self.updater.with_signals(batch, state)

    def _steps_per_epoch(self, batch: RolloutBatch) -> int:
        return -(-len(torch.unique(batch.group_ids)) // self.prompts)

    def _rows(self, batch: RolloutBatch, epoch: int, place: int) -> Tensor:
        """Row indices of one step: the groups that stand at its place in the epoch's order."""
        groups = torch.unique(batch.group_ids).cpu().numpy()
        order = np.random.default_rng((self.updater.settings.seed, epoch)).permutation(groups)
        chosen = order[place * self.prompts : (place + 1) * self.prompts]
        return torch.isin(batch.group_ids, torch.from_numpy(chosen).to(batch.group_ids)).nonzero()[
            :, 0
        ]

    def _writer(self) -> checkpoint.Writer:
        return policy_writer(self.updater.models.policy, self.tokenizer)

    # ------------------------------------------------------------------ down and up again

    def _save(self, step: int, batch: RolloutBatch, state: State) -> None:
        write_trained = self.trained.writer(self.tokenizer)

        def write(path: Path) -> None:
            write_trained(path)
            if self.trained.critic is not None:  # what its next epoch makes anew
                made = batch.columns.keys() - self.rollout.batch.columns.keys() | {"rewards"}
                columns = {name: batch[name].contiguous() for name in made}
                save_file(columns, path / "batch.safetensors")
                save_file(dict(state), path / "algorithm-state.safetensors")
            (path / "state.json").write_text(json.dumps({"step": step}))

        root = self.directory / "checkpoints"
        checkpoint.save(root, step, write)
        checkpoint.prune(root, keep_last=1)

    def _restored(self, batch: RolloutBatch, state: State) -> tuple[int, RolloutBatch, State]:
        path = checkpoint.newest(self.directory / "checkpoints")
        if path is None:
            return 0, batch, state
        self.trained.read(path, self.updater.settings.loading.dtype)
        if self.trained.critic is not None:
            device = str(batch.mask.device)
            batch = batch.with_columns(**load_file(path / "batch.safetensors", device=device))
            state = load_file(path / "algorithm-state.safetensors")
        step: int = json.loads((path / "state.json").read_text())["step"]
        return step, batch, state
