"""Several runs side by side: seeds of one configuration pooled, every difference paired by prompt.

    groups = grouped([read(path) for path in directories])
    result(groups[0], "pass@1")                   the score, for new prompts and for new seeds
    against(groups[1], groups[0], "pass@1")       the difference on the same prompts
    course(groups[0], "seconds", "reward")        a learning curve over what was spent

Two intervals, because they answer two questions. Over prompts: these very models, asked other
questions of the same kind. Over seeds: the same recipe, run once more; it needs two runs or more.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from jumar.engines.contract import Estimate
from jumar.errors import ConfigurationError
from jumar.evaluation.evaluate import Evaluation
from jumar.evaluation.evaluate import read as read_evaluation
from jumar.evaluation.intervals import mean, paired_difference, share
from jumar.evaluation.protocol import Protocol, check_comparable, differing
from jumar.reports.runs import RunRecord
from jumar.reports.series import Intervals, running_mean, window

NOTE = (
    "pass@1 of the final models on the test split, 95 % interval over prompts; over seeds: of a "
    "further run. change: against A, on the same prompts. best, last: validation pass@1, highest "
    "(and by that too high) and at the end, the interval over seeds, or over the prompts of a "
    "single run. KL at the end to the reference, or to the start where the reference changes (if "
    "diagnostics.distance_every measured it), nats per token. tokens, time: sampled and spent in "
    "training. Of several runs everything is the mean over those that were evaluated at their end; "
    "unfinished ones count where none was."
)
Over = Literal["step", "seconds", "tokens", "kl"]
SPENT: Mapping[Over, str] = {"seconds": "time/step", "tokens": "sampled_tokens"}


class Curve(NamedTuple):
    """Values with their intervals at places along some axis."""

    places: list[float]
    values: list[float]
    lows: list[float]
    highs: list[float]


@dataclass(frozen=True)
class Group:
    """Runs that differ in their seed alone."""

    label: str
    runs: Sequence[RunRecord]

    @cached_property
    def evaluations(self) -> list[Evaluation]:
        """Of the final models on the test split, where that was done."""
        return [read_evaluation(_final(run)) for run in self.runs if _final(run).is_file()]

    @property
    def counted(self) -> list[RunRecord]:
        """The runs that numbers are made of: those evaluated at their end, or else all of them."""
        return [run for run in self.runs if _final(run).is_file()] or list(self.runs)

    def pooled(self, name: str) -> tuple[NDArray[np.float64], float] | None:
        """([P] means over seeds, samples behind each); None where nothing was evaluated."""
        values = [e.shares()[name] for e in self.evaluations if name in e.shares()]
        if not values:
            return None
        return np.mean(values, axis=0), float(sum(e.samples for e in self.evaluations))

    @property
    def protocol(self) -> Protocol:
        """How the final models were asked; empty where none was."""
        protocols = [e.protocol for e in self.evaluations]
        for other in protocols[1:]:
            check_comparable(protocols[0], other)
        return protocols[0] if protocols else {}


def grouped(runs: Sequence[RunRecord]) -> list[Group]:
    """Runs of one configuration together, in the order in which the first of each was named. One
    that is named twice counts once, a copy under the same seed is refused, and a run whose
    configuration is not known stands alone.
    """
    by_config: dict[str, list[RunRecord]] = {}
    for directory, run in {run.directory.resolve(): run for run in runs}.items():
        settings = {key: value for key, value in run.config.items() if key != "seed"}
        key = json.dumps(settings, sort_keys=True) if settings else json.dumps({"": str(directory)})
        by_config.setdefault(key, []).append(run)
    for members in by_config.values():
        _check_seeds(members)
    flat = [_flat(members[0].config) for members in by_config.values()]
    return [
        Group(label=_label(settings, flat) if settings else members[0].name, runs=members)
        for settings, members in zip(flat, by_config.values(), strict=True)
    ]


def _check_seeds(runs: Sequence[RunRecord]) -> None:
    seen: dict[Any, RunRecord] = {}
    for run in runs:
        other = seen.setdefault(run.config.get("seed"), run)
        if other is not run:
            raise ConfigurationError(
                f"The runs {other.directory} and {run.directory} have one configuration and one "
                "seed, and several runs of a configuration need different seeds: the same draw, "
                "counted twice, would look like certainty. Name one of them."
            )


def _final(run: RunRecord) -> Path:
    return run.directory / "evaluation" / "final-sampled.jsonl"


def result(group: Group, name: str) -> tuple[Estimate, Estimate | None] | None:
    """A score of the final models: for new prompts, and for new seeds where there are several."""
    pooled = group.pooled(name)
    if pooled is None:
        return None
    values, samples = pooled
    by_seed = np.array([float(e.shares()[name].mean()) for e in group.evaluations])
    return share(values, samples=samples), mean(by_seed) if len(by_seed) > 1 else None


def against(group: Group, other: Group, name: str) -> Estimate | list[str] | None:
    """`group` minus `other`, prompt by prompt; the parts of the protocol in which they differ, and
    so cannot be compared; None where one of them was not evaluated.
    """
    one, two = group.pooled(name), other.pooled(name)
    if one is None or two is None:
        return None
    if not (group.protocol and other.protocol):
        return ["protocol (unknown)"]
    return differing(group.protocol, other.protocol) or paired_difference(one[0], two[0])


def validated(group: Group) -> tuple[Estimate, Estimate] | None:
    """Validation pass@1, the (highest, last): over the seeds, or the prompts of a single run."""
    curves = [curve for run in group.counted if (curve := run.validation("pass@1")).steps]
    if not curves:
        return None
    if len(curves) > 1:
        ends = ([max(c.values) for c in curves], [c.values[-1] for c in curves])
        return mean(np.array(ends[0])), mean(np.array(ends[1]))
    _, values, lows, highs = curves[0]
    best = values.index(max(values))
    high, last = (Estimate(values[i], lows[i], highs[i]) for i in (best, -1))
    return high, last


def spent(group: Group, metric: str) -> float | None:
    """A total of training, mean over seeds: "time/step" seconds, "sampled_tokens"."""
    totals = [run.total(metric) for run in group.counted if run.points(metric).steps]
    return float(np.mean(totals)) if totals else None


def letter(number: int) -> str:
    """A, B, ... Z, A1, B1, ..."""
    return chr(ord("A") + number % 26) + (str(number // 26) if number > 25 else "")


def in_numbers(group: Group, first: Group) -> dict[str, Any]:
    """JSON-able: estimates as [value, low, high]; None where nobody measured. `differs` names what
    of the evaluation makes it another measurement than the first group's.
    """
    score, held_out = result(group, "pass@1"), validated(group)
    apart = None if group is first else against(group, first, "pass@1")
    over_prompts, over_seeds = score or (None, None)
    return {
        "label": group.label,
        "runs": [str(run.directory) for run in group.runs],
        "pass@1": _listed(over_prompts),
        "over_seeds": _listed(over_seeds),
        "change": _listed(apart if isinstance(apart, Estimate) else None),
        "differs": apart if isinstance(apart, list) else [],
        "evaluated": len(group.evaluations),
        "best_validation": _listed(held_out[0] if held_out else None),
        "last_validation": _listed(held_out[1] if held_out else None),
        "kl": _last_kl(group),
        "sampled_tokens": spent(group, "sampled_tokens"),
        "seconds": spent(group, "time/step"),
    }


def runs_of(row: Mapping[str, Any]) -> str:
    """How many runs a row of `in_numbers` is of: 3, or 2 of 3 where one is not finished."""
    named, evaluated = len(row["runs"]), row["evaluated"]
    return f"{evaluated} of {named}" if 0 < evaluated < named else str(named)


def _listed(estimate: Estimate | None) -> list[float] | None:
    return [estimate.value, estimate.low, estimate.high] if estimate else None


def _last_kl(group: Group) -> float | None:
    """Mean over seeds of the last that is known."""
    found = [values[-1] for run in group.counted if (values := run.drift().values)]
    return sum(found) / len(found) if found else None


def course(group: Group, over: Over, metric: str) -> Curve:
    """A training metric over steps, seconds, sampled tokens or KL: the mean over seeds of running
    means, with its interval over seeds (Student's t).

    Seeds are put together step by step, so the place of a point is the mean of theirs.
    """
    curves = {}
    for number, run in enumerate(group.runs):
        steps, values = run.points(metric)
        smooth = running_mean(values, window(len(values)))
        curves[number] = Intervals(steps, smooth, smooth, smooth)
    return _together(group, over, curves)


def validations(group: Group, over: Over) -> Curve:
    """Validation pass@1 over what was spent until then; of one seed with the interval over its
    prompts, of several with that over seeds.
    """
    runs = enumerate(group.runs)
    return _together(group, over, {number: run.validation("pass@1") for number, run in runs})


def places(run: RunRecord, over: Over, steps: Sequence[float]) -> list[float] | None:
    """How far a run had come after each of these steps; None where it has no such numbers."""
    if over == "step":
        return [float(step) for step in steps]
    at, numbers = run.drift() if over == "kl" else run.points(SPENT[over])
    if not at:
        return None
    if over == "kl":
        reached = [0.0, *running_mean(numbers, window(len(numbers)))]
    else:
        reached = [0.0, *np.cumsum(numbers)]
    return [float(reached[i]) for i in np.searchsorted(at, steps, side="right")]


def _together(group: Group, over: Over, curves: Mapping[int, Intervals]) -> Curve:
    """One curve of the runs that have any, at the steps that all of those share."""
    found = []
    for number, curve in curves.items():
        reached = places(group.runs[number], over, curve.steps)
        if curve.steps and reached is not None:
            rows = zip(reached, *curve[1:], strict=True)
            found.append(dict(zip(curve.steps, rows, strict=True)))
    if len(found) == 1:
        return Curve(*(list(column) for column in zip(*found[0].values(), strict=True)))
    shared = sorted(set.intersection(*(set(rows) for rows in found))) if found else []
    at = [float(np.mean([rows[step][0] for rows in found])) for step in shared]
    means = [mean(np.array([rows[step][1] for rows in found])) for step in shared]
    return Curve(at, *([getattr(e, name) for e in means] for name in ("value", "low", "high")))


def _flat(settings: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    """Settings by their dotted names, as --set takes them."""
    found: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{path}{key}.")
        else:
            found[f"{path}{key}"] = value
    return found


def _label(settings: Mapping[str, Any], every: Sequence[Mapping[str, Any]]) -> str:
    """What sets a configuration apart: its algorithm, then whatever differs. Settings of algorithms
    and programs are compared with those of the same; another program is named.
    """
    differing = [
        key
        for key in sorted({key for other in every for key in other} - {"algorithm.name", "seed"})
        if len({repr(other.get(key)) for other in _alike(key, settings, every)}) > 1
    ]
    shown = [f"{key}={settings.get(key)}" for key in differing]
    return " ".join([str(settings.get("algorithm.name", "run")), *shown])


def _alike(
    key: str, settings: Mapping[str, Any], every: Sequence[Mapping[str, Any]]
) -> list[Mapping[str, Any]]:
    """The configurations in which a key means the same as here."""
    owner = f"{key.partition('.')[0]}.name"
    if owner not in ("algorithm.name", "program.name") or key == owner:
        return list(every)
    return [other for other in every if other.get(owner) == settings.get(owner)]
