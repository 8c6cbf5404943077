"""Ratchet: stages of training, each against the policy that the stage before arrived at.

    repeat `stages` times
        policy <- train(policy, anchor, steps)
        anchor <- policy as it is now, or the policy that scored best in this stage

The anchor is what the algorithm compares with, reference or teacher. The swap is hard: the old one
is gone. Right after it policy and anchor agree (where it is the current one), so every weight of
OWPO is 1 again, and what was gained is what the next stage is measured from. The policy itself
goes on from where it is, and so does its optimiser.

Paper: One-Way Policy Optimization for Self-Evolving LLMs, arXiv:2605.22156, sec. 3.2, App. B.4.
Departs: nothing; it swaps every 80 steps, and to the best checkpoint of the stage in sec. 5.3. The
number of stages is ours; the paper's curve flattens after 4.
"""

from pathlib import Path
from typing import Literal

from jumar.engines.contract import Trainer


def ratchet(
    trainer: Trainer,
    *,
    stages: int = 3,
    steps: int = 80,
    swap: Literal["current", "best"] = "current",
) -> None:
    """`stages` of `steps`; the first runs against the reference or teacher of the recipe."""
    anchor: Path | None = None
    for _ in range(stages):
        stage = trainer.train(steps=steps, reference=anchor, teacher=anchor)
        anchor = stage.best if swap == "best" else stage.last
