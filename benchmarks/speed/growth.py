"""How a step's time and memory grow with each thing that makes it larger, and the others fixed."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from statistics import median
from typing import Any

import numpy as np

from speed import ours, theirs
from speed.cases import AXES, BASE
from speed.sides import alternated, started
from speed.work import Work

TURNS = 3


def measured(pairs: int | None = None) -> dict[str, Any]:
    """Seconds and bytes of a step at every point, by axis and side."""
    axes: dict[str, Any] = {}
    for name, (field, values) in AXES.items():
        points = [_point(replace(BASE, **{field: value}), pairs or TURNS) for value in values]
        sides = {side: _columns([point[side] for point in points]) for side in points[0]}
        axes[name] = {"x": [_size(field, value) for value in values], **sides}
    return {"base": asdict(BASE), "turns": pairs or TURNS, "axes": axes}


def _point(work: Work, turns: int) -> dict[str, dict[str, float]]:
    ways = {"jumar": partial(ours.grpo, work), "TRL": partial(theirs.grpo, work)}
    with started(ways) as sides:
        found = alternated(sides, turns)
    return {
        side: {what: median(turn[what] for turn in done) for what in ("step", "peak")}
        for side, done in found.items()
    }


def _columns(points: Sequence[dict[str, float]]) -> dict[str, list[float]]:
    return {what: [point[what] for point in points] for what in points[0]}


def _size(field: str, value: int) -> int:
    """What an axis counts: a width is told as the parameters that it makes."""
    return replace(BASE, hidden=value).parameters if field == "hidden" else value


def exponent(xs: Sequence[float], ys: Sequence[float]) -> float:
    """The slope in logarithms: twice as much costs 2 ** exponent times as much."""
    return float(np.polyfit(np.log(xs), np.log(ys), 1)[0])
