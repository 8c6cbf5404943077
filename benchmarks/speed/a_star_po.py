"""A*-PO by both, turn by turn: V* of every prompt from samples of the reference, then some steps.

A turn is a whole run from its first sample to its last step; models and trainers are made between
turns. Every second run of ours finds the V* of the one before, as one that was killed and started
again does; TRL keeps them in memory, so its second run samples them again.

Private names of TRL that are touched: A2POTrainer._prepare_inputs.
"""

import os
from collections.abc import Mapping
from dataclasses import asdict, replace
from functools import partial
from itertools import count
from pathlib import Path
from statistics import median
from typing import Any

import torch
from datasets import Dataset
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer, PrinterCallback
from trl.experimental.a2po import A2POConfig, A2POTrainer

from speed import agreement, ours, theirs
from speed.cases import A_STAR_PO, AStarPO
from speed.sides import Pause, Training, alternated, started
from speed.work import THREADS, even

ALGORITHM = {"name": "a_star_po", "beta": 1e-3}
TRIED = 1  # run of each setting of TRL's


def measured(quick: bool) -> dict[str, Any]:
    """Seconds of whole runs, of ours anew and again, and what was tried of TRL's."""
    small = replace(A_STAR_PO, work=A_STAR_PO.work.small(), pairs=1)
    case = small if quick else A_STAR_PO
    with started({"both losses": partial(_differences, case)}) as sides:
        agreed = agreement.checked(sides["both losses"].first)
    tried = _tried(case)
    chosen = min(tried, key=lambda name: median(tried[name]))
    ways: dict[str, Training] = {
        "jumar": partial(_ours, case),
        "TRL": partial(_theirs, case, settings(case)[chosen]),
    }
    with started(ways) as sides:
        turns = alternated(sides, 4 * case.pairs)
    runs = {name: side[0::2] for name, side in turns.items()}  # the others made what is needed
    assert all(run["tokens"] == _tokens(case) for side in runs.values() for run in side), runs
    return {
        "case": asdict(case),
        "agreement": agreed,
        "tried": tried,
        "chosen": chosen,
        "turns": {
            "jumar": runs["jumar"][0::2],
            "TRL": runs["TRL"][0::2],
            "jumar again": runs["jumar"][1::2],
            "TRL again": runs["TRL"][1::2],
        },
    }


def settings(case: AStarPO) -> dict[str, dict[str, Any]]:
    """What is tried of TRL's; prompts in one pass are also those whose V* is sampled at once."""
    quarter = {
        "per_device_train_batch_size": case.work.prompts // 4,
        "gradient_accumulation_steps": 4,
    }
    return {
        "all rows in one pass": {},
        "four passes": quarter,
        "all rows in one pass, gradient checkpointing (TRL's default)": {
            "gradient_checkpointing": True
        },
    }


def _tried(case: AStarPO) -> dict[str, list[float]]:
    each = {name: partial(_theirs, case, given) for name, given in settings(case).items()}
    with started(each) as sides:
        turns = alternated(sides, TRIED)
    return {name: [turn["step"] for turn in side] for name, side in turns.items()}


def _tokens(case: AStarPO) -> int:
    return sum(case.work.tokens(step) for step in range(1, case.steps + 1))


# ---------------------------------------------------------------------- jumar


def _ours(case: AStarPO, pause: Pause, folder: Path) -> None:
    ours.end_by_table(case.work)
    program = {"name": "a_star_po", "steps": case.steps, "samples": case.samples}
    for number in count():
        os.environ["JUMAR_CACHE"] = str(folder / f"cache{number // 2}")
        run = ours.run(case.work, folder / str(number), program, ALGORITHM)
        run.train(observer=_Observer(pause, case.steps))


class _Observer(ours.Observer):
    """Waits before V* is sampled or found, and after the last step."""

    def __init__(self, pause: Pause, steps: int) -> None:
        super().__init__(pause)
        self.steps, self.tokens = steps, 0.0

    def on_phase(self, text: str) -> None:
        if "reference" in text:
            self.pause()

    def on_step(self, step: int, total: int | None, metrics: Mapping[str, float]) -> None:
        self.tokens += metrics["sampled_tokens"]
        if step == self.steps:
            self.pause(tokens=self.tokens)


# ---------------------------------------------------------------------- TRL


def _theirs(case: AStarPO, given: dict[str, Any], pause: Pause, folder: Path) -> None:
    for number in count():
        host = _trainer(case, folder / str(number), **given)
        pause()
        host.train()
        pause(tokens=host.tokens)


def _trainer(case: AStarPO, folder: Path, **given: Any) -> "_Counting":
    torch.set_num_threads(THREADS)
    work = case.work
    place = work.write_model(folder / "model")
    usual = theirs.usual(work, folder) | {"max_steps": case.steps}
    host = _Counting(
        model=AutoModelForCausalLM.from_pretrained(place),
        reward_funcs=even,
        args=A2POConfig(
            num_value_samples=case.samples, filter_all_incorrect=False, **(usual | given)
        ),
        train_dataset=Dataset.from_dict({"prompt": work.texts()}),
        processing_class=AutoTokenizer.from_pretrained(place, padding_side="left"),
    )
    host.remove_callback(PrinterCallback)
    host.ref_model.generate = theirs.ending(work, host.ref_model.generate, step=0)
    host.model.generate = theirs.ending(work, host.model.generate)
    return host


class _Counting(A2POTrainer):  # type: ignore[misc]
    tokens = 0

    def _prepare_inputs(self, inputs: Any) -> Any:
        found = super()._prepare_inputs(inputs)
        self.tokens += int(found["attention_mask"][:, -found["logits_to_keep"] :].sum())
        return found


# ---------------------------------------------------------------------- both losses


def _differences(case: AStarPO, pause: Pause, folder: Path) -> None:
    """Tell how far apart both are on one rollout of TRL's."""
    case = replace(case, steps=1, work=replace(case.work, prompts=8))
    host = _trainer(case, folder, max_grad_norm=0.0)
    kept = agreement.Gradients()
    host.add_callback(kept)
    found: dict[str, Any] = {}
    prepared, stepped = host._prepare_inputs, host.training_step
    host._prepare_inputs = lambda inputs: found.setdefault("inputs", prepared(inputs))
    host.training_step = lambda *a, **k: found.setdefault("loss", stepped(*a, **k))
    host.train()
    pause(**agreement.told(_own(case, folder, found["inputs"]), (found["loss"], kept.found)))


def _own(case: AStarPO, folder: Path, inputs: Any) -> agreement.Found:
    model, reference = ours.model(folder), ours.model(folder)
    start = case.work.prompt_tokens
    prompts, ids = inputs["input_ids"][:, :start], inputs["input_ids"][:, start:]
    updater = ours.updater(model, folder, ALGORITHM, reference=reference)
    mask: Tensor = inputs["attention_mask"][:, start:].bool()
    batch = ours.batch(prompts, ids, mask, inputs["rewards"], optimal_values=inputs["v_star"])
    updater.update(batch, prompts.tolist(), {})
    return updater.loss, agreement.gradients(model)
