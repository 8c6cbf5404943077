"""A coefficient that changes as training goes on: a number, or a schedule of the step.

linear is a straight line, cosine is slow at both ends; harmonic is the reciprocal of a line, for a
coefficient that is one over a step size.
"""

import math
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """From `start` to `end` over `steps`, then `end`, or what `then` says from there on.

    `clock` is the run's step, or the step within the current stage of a program: a schedule on
    "stage_step" starts again after each swap of the reference.
    """

    start: float
    end: float
    steps: int
    shape: Literal["linear", "cosine", "harmonic"] = "linear"
    clock: Literal["step", "stage_step"] = "step"
    then: "Schedule | None" = None  # begins after `steps`, by its own clock

    def at(self, *, step: int, stage_step: int) -> float:
        """The value now."""
        now = step if self.clock == "step" else stage_step
        if self.then is not None and now >= self.steps:
            return self.then.at(step=step - self.steps, stage_step=stage_step - self.steps)
        done = min(1.0, now / self.steps) if self.steps else 1.0
        if self.shape == "cosine":
            done = 0.5 * (1 - math.cos(math.pi * done))
        if self.shape == "harmonic":
            return 1 / (1 / self.start + (1 / self.end - 1 / self.start) * done)
        return self.start + (self.end - self.start) * done


def linear(
    start: float, end: float, steps: int, clock: Literal["step", "stage_step"] = "step"
) -> Schedule:
    """A straight line from `start` to `end` over `steps`."""
    return Schedule(start=start, end=end, steps=steps, clock=clock)


def value_at(coef: float | Schedule, *, step: int, stage_step: int) -> float:
    """The coefficient now, whichever of the two it is."""
    return coef.at(step=step, stage_step=stage_step) if isinstance(coef, Schedule) else coef
