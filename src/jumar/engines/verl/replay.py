"""A fixed batch in the place of sampling: the stored responses as verl's own rollout fields.

Advantages are made once, over the whole batch, as the verb `fit` makes them; a step then trains on
some of its groups, and each epoch deals them out anew. Which ones depends on the step's number
alone, so a resumed run goes on with those that come next.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from jumar.algorithm import Algorithm, compute_signals
from jumar.engines.verl.settings import VerlSettings
from jumar.errors import ConfigurationError, DataError
from jumar.types import RolloutBatch

BATCH, ABOUT = "batch.safetensors", "batch.json"
OF_VERL = ("token_ids",)  # all that the worker has from verl; the other columns are the batch's
Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class FixedBatch:
    """Responses that somebody sampled and scored, and the token ids of each row's prompt."""

    batch: RolloutBatch
    prompts: Sequence[Sequence[int]]
    seed: int

    @classmethod
    def read(cls, settings: VerlSettings) -> Self:
        """As the verbs `sample` and `log_ratio` leave it and its signal."""
        columns: dict[str, Any] = {}
        for name in ("batch", "signal"):
            place: Path | None = getattr(settings, name)
            if place is not None and not (place / BATCH).is_file():
                raise ConfigurationError(
                    f"jumar.{name} is {place}, which has no {BATCH}. It is to be a directory that "
                    "a program of jumar's own engine left under RUN/stages. Name that one."
                )
            columns |= load_file(place / BATCH) if place is not None else {}
        assert settings.batch is not None
        about = json.loads((settings.batch / ABOUT).read_text())
        scalars = {name: about[name] for name in ("step", "stage_step")}
        batch = RolloutBatch.build(**columns, **scalars, seed=settings.seed)
        rows = batch.mask.any(dim=1).nonzero()[:, 0]
        return cls(batch=batch, prompts=about["prompts"], seed=settings.seed)._select(rows)

    def with_signals(self, algorithm: Algorithm, batch: RolloutBatch) -> Self:
        """What the algorithm keeps of it, with advantages and what else it makes of whole groups;
        `batch` is the same with further columns.
        """
        rows = algorithm.keep(batch).nonzero()[:, 0]
        if not len(rows):
            raise DataError(
                f"`{algorithm.name}` keeps no response of the fixed batch, but a fit needs some to "
                "learn from. It filters by outcome, and all of them have the same. Sample more "
                "prompts, or fit another algorithm."
            )
        kept = replace(self, batch=batch)._select(rows)
        signals, _ = compute_signals(algorithm, kept.batch, algorithm.init_state())
        made = kept.batch.with_columns(**signals.columns, advantages=signals.advantages)
        return replace(kept, batch=made)

    def steps_per_epoch(self, groups: int) -> int:
        """Whole steps of so many groups; what is left over waits for another epoch's order."""
        there = len(torch.unique(self.batch.group_ids))
        if there < groups:
            raise ConfigurationError(
                f"The fixed batch has {there} groups, but a step takes {groups}. verl waits for "
                f"as many as it asked for. Set data.train_batch_size to at most {there}."
            )
        return there // groups

    def step(self, number: int, groups: int) -> Self:
        """The rows of the step of that number, counted from 0."""
        epoch, place = divmod(number, self.steps_per_epoch(groups))
        ids = torch.unique(self.batch.group_ids).numpy()
        order = np.random.default_rng((self.seed, epoch)).permutation(ids)
        chosen = torch.from_numpy(order[place * groups : (place + 1) * groups])
        return self._select(torch.isin(self.batch.group_ids, chosen).nonzero()[:, 0])

    def as_sampled(self, step: int) -> tuple[list[str], list[Row], list[Row]]:
        """(keys, fields, tags) of each row, as verl's sampler would leave them."""
        uids = [f"{step}g{group}" for group in self.batch.group_ids.tolist()]
        keys = [f"{uid}_{uids[:row].count(uid)}_0" for row, uid in enumerate(uids)]
        places = torch.arange(1, self.batch.mask.shape[1] + 1)
        lengths = (self.batch.mask * places).amax(dim=1)  # a tool's output inside is part of it
        rows = [
            self._of_sequence(row, length) | {"uid": uids[row]}
            for row, length in enumerate(lengths.tolist())
        ]
        return keys, rows, [self._tag(row, step) for row in rows]

    def _tag(self, row: Row, step: int) -> Row:
        prompt, response = len(row["prompts"]), len(row["responses"])
        lengths = {"prompt_len": prompt, "response_len": response, "seq_len": prompt + response}
        steps = ("global_steps", "min_global_steps", "max_global_steps")
        return {"status": "success", **lengths, **dict.fromkeys(steps, step)}

    def _of_sequence(self, row: int, length: int) -> Row:
        prompt = torch.tensor(self.prompts[row])
        response, mask = self.batch.token_ids[row][:length], self.batch.mask[row][:length].long()
        scores = torch.zeros(length)
        scores[-1] = self.batch.scores[row]
        return {
            "prompts": prompt,
            "responses": response,
            "input_ids": torch.cat([prompt, response]),
            "position_ids": torch.arange(len(prompt) + length),
            "response_mask": mask,
            "loss_mask": mask,
            "rm_scores": scores,
            "num_turns": 2,
            "multi_modal_inputs": {},
            "extra_fields": {},
        }

    def _select(self, rows: Tensor) -> Self:
        prompts = [self.prompts[row] for row in rows.tolist()]
        return replace(self, batch=self.batch.select(rows), prompts=prompts)
