"""Run by two processes: programs and resumed runs alone, then together."""

import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

sys.path.insert(0, str(Path(__file__).parent.parent / "engines" / "local"))
import early
import letters

from jumar.engines.local.checkpoint import replace_directory
from jumar.engines.local.distributed import from_main, together
from jumar.engines.local.scoring import SharedPool
from jumar.engines.local.trainer import LocalTrainer
from jumar.engines.settings import DistributedSettings
from jumar.evaluating import evaluate_model
from jumar.programs.a_star_po import a_star_po
from jumar.programs.erpd import erpd
from jumar.programs.plain import plain
from jumar.programs.ratchet import ratchet

SHORT = {
    "batches": 1, "prompts": 4, "responses": 4, "prompts_per_step": 2, "teacher_steps": 3,
    "student_steps": 2,
}  # fmt: skip
DEALT, ADAPTER = {"distributed": {"sharding": "full"}}, {"lora": {"rank": 2}}
# by name: the algorithm, the program and what is set
PROGRAMS: dict[str, tuple[str, Callable[[LocalTrainer], None], dict[str, Any]]] = {
    "ratchet": ("owpo", lambda run: ratchet(run, stages=2, steps=2, swap="best"), {}),
    "a_star_po": ("a_star_po", lambda run: a_star_po(run, steps=2, samples=3), {}),
    "erpd": (
        "implicit_ce", lambda run: erpd(run, strategy="ensemble", recover="sft", **SHORT), {},
    ),
    "erpd, dealt": ("ppo", lambda run: erpd(run, strategy="strong", **SHORT), DEALT),
    "a_star_po, dealt": ("a_star_po", lambda run: a_star_po(run, steps=2, samples=3), DEALT),
    "ratchet, an adapter": ("owpo", lambda run: ratchet(run, stages=2, steps=2), ADAPTER),
    "ratchet, an adapter, dealt": (
        "owpo", lambda run: ratchet(run, stages=2, steps=2), DEALT | ADAPTER,
    ),
    "erpd, an adapter, dealt": (
        "gspo", lambda run: erpd(run, strategy="strong", **SHORT), DEALT | ADAPTER,
    ),
}  # fmt: skip
STEPS, STOPPED = 5, 3  # the checkpoint is of step 2


class Place:
    """Where the runs of one side are, and what they start from."""

    def __init__(self, model: Path, directory: Path, pool: SharedPool) -> None:
        self.model, self.directory, self.pool = model, directory, pool

    def trainer(self, name: str, algorithm: str, stop: int | None = None, **changes: Any) -> Any:
        # a large eps, because Adam makes a large step of a gradient that is only rounding
        return letters.trainer(
            self.directory / name, self.model, self.pool, algorithm=algorithm,
            log=letters.Log(stop), made={"optimal_values"},
            optimiser={"eps": 1e-3, "micro_batch_tokens": 100}, rollout={"prompts": 5},
            diagnostics={
                "distance_every": 2, "alignment_every": 4 if name == "ratchet" else 0, "prompts": 2,
            },
            **changes,
        )  # fmt: skip

    def program(self, name: str) -> None:
        algorithm, program, settings = PROGRAMS[name]
        os.environ["JUMAR_CACHE"] = str(self.directory / "cache")
        run = self.trainer(name, algorithm, **settings)
        run.restore()
        program(run)
        replace_directory(self.directory / name / "final", run.policy.whole_writer())

    def trained(self, name: str, *, dealt: bool, stop: int | None = None) -> None:
        """PPO, for it has the most to keep; from the newest checkpoint, where there is one."""
        run = self.trainer(name, "ppo", stop, **(DEALT if dealt else {}))
        run.restore()
        try:
            plain(run, steps=STEPS)
        except KeyboardInterrupt:
            assert stop is not None


def evaluated(model: Path, directory: Path) -> dict[str, str]:
    """What an evaluation writes, by file."""
    settings = letters.settings(scoring={"workers": 1}, loading={"threads": 1})
    evaluate_model(
        str(model),
        [early.with_it(letters.task())],
        samples=3,
        greedy=True,
        settings=settings,
        directory=directory,
    )
    # the main process writes, and knows when it has
    return from_main(lambda: {file.name: file.read_text() for file in sorted(directory.iterdir())})


def difference(one: Path, other: Path) -> dict[str, Any]:
    """The largest difference in any tensor or metric; whether files and rollouts are the same."""
    names = [
        sorted(p.relative_to(root).as_posix() for p in root.rglob("*.safetensors"))
        for root in (one, other)
    ]
    largest = 0.0
    for name in names[0] if names[0] == names[1] else ():
        a, b = load_file(one / name), load_file(other / name)
        for key in a:
            largest = max(largest, float((a[key].double() - b[key].double()).abs().max()))
    lines = [
        [
            row
            for name in ("metrics.jsonl", "diagnostics.jsonl")
            for file in sorted(root.rglob(name))
            for row in letters.lines_of(file)
        ]
        for root in (one, other)
    ]
    rows = list(zip(*lines, strict=True))
    metrics = [
        abs(a[k] - b[k])
        for a, b in rows
        for k in a.keys() - {"seconds"}
        if isinstance(a[k], float | int)
    ]
    return {
        "files": names[0] == names[1],
        "largest": largest,
        "metrics": max(metrics),
        "rollouts": all(a.get("digest") == b.get("digest") for a, b in rows),
    }


def main(root: Path) -> None:
    rank = int(os.environ["RANK"])
    torch.set_num_threads(1)
    with SharedPool(early.with_it(letters.task()).verifier, workers=1) as pool:
        alone = Place(root / "model", root / f"alone-{rank}", pool)
        alone.directory.mkdir()
        for name in PROGRAMS:
            alone.program(name)
        alone.trained("whole", dealt=False)
        both = Place(root / "model", root / "together", pool)
        with together(DistributedSettings(deadline=2.0)):
            from_main(both.directory.mkdir)
            for name in PROGRAMS:
                both.program(name)
            for name, stop in (("two", None), ("two-to-two", STOPPED), ("two-to-two", None)):
                both.trained(name, dealt=False, stop=stop)
            scores = from_main(lambda: evaluated(both.model, alone.directory / "evaluation"))
            for dealt in (False, True):
                both.trained(f"two-to-one-{dealt}", dealt=dealt, stop=STOPPED)
                from_main(lambda d=dealt: both.trained(f"two-to-one-{d}", dealt=False))
                from_main(
                    lambda d=dealt: both.trained(f"one-to-two-{d}", dealt=False, stop=STOPPED)
                )
                both.trained(f"one-to-two-{dealt}", dealt=dealt)
            both_scores = evaluated(both.model, both.directory / "evaluation")
    found: dict[str, Any] = {"evaluation": scores == both_scores and len(scores) == 2}
    found |= {name: difference(alone.directory / name, both.directory / name) for name in PROGRAMS}
    for name in [
        f"{way}-{dealt}" for way in ("two-to-one", "one-to-two") for dealt in (False, True)
    ]:
        found[name] = difference(alone.directory / "whole", both.directory / name)
    found["two-to-two"] = difference(both.directory / "two", both.directory / "two-to-two")
    (root / f"found-{rank}.json").write_text(json.dumps(found))
    shutil.rmtree(alone.directory)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
