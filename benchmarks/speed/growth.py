"""How a step's time and memory grow with each thing that makes it larger, and the others fixed."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from statistics import median
from typing import Any

from speed import ours, theirs
from speed.cases import AXES, BASE
from speed.sides import alternated, started
from speed.work import Work

TURNS = 2


def measured(quick: bool) -> dict[str, Any]:
    """Seconds and bytes of a step at every point, by axis and side."""
    base, turns, most = (BASE.small(), 1, 2) if quick else (BASE, TURNS, None)
    axes: dict[str, Any] = {}
    for name, (field, values) in AXES.items():
        works = [replace(base, **{field: value}) for value in values[:most]]
        points = [_point(work, turns) for work in works]
        sides = {side: _columns([point[side] for point in points]) for side in points[0]}
        axes[name] = {"x": [_size(field, work) for work in works], **sides}
    return {"base": asdict(base), "turns": turns, "axes": axes}


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


def _size(field: str, work: Work) -> int:
    """What an axis counts: a width is told as the parameters that it makes."""
    size: int = work.parameters if field == "hidden" else getattr(work, field)
    return size
