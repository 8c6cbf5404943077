"""`curves.png` from a run's `metrics.jsonl`: score, distance, entropy and length step by step."""

import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from jumar.errors import DataError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's colours: told apart under every common colour blindness, and in grey
BLUE, ORANGE, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
INK, FAINT = "#333333", "#DDDDDD"
SMOOTHED = 20  # a running mean is as long as a run divided by this

STYLE: Any = {  # some versions of matplotlib type every key
    "font.family": "DejaVu Sans",  # comes with matplotlib
    "font.size": 10,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": FAINT,
    "grid.linewidth": 0.6,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "legend.frameon": False,
    "legend.fontsize": 9,
}


class Curve(NamedTuple):
    """One metric in a panel."""

    metric: str
    label: str
    colour: str


class Panel(NamedTuple):
    """What one of the four axes shows; the first four that a run has numbers for are drawn."""

    title: str
    unit: str
    curves: tuple[Curve, ...]
    validation: str | None = None


CANDIDATES = (
    Panel(
        "Score", "fraction of responses",
        (Curve("pass@1", "pass@1, training", BLUE), Curve("reward", "reward, training", ORANGE)),
        validation="pass@1",
    ),
    Panel("Distance from the reference", "KL, nats per token", (Curve("kl", "", PURPLE),)),
    Panel("Entropy", "nats per token", (Curve("entropy", "", GREEN),)),
    Panel("Response length", "tokens", (Curve("response_tokens", "", BLUE),)),
    Panel("Cut at the length limit", "fraction of responses", (Curve("truncated", "", ORANGE),)),
    Panel("Speed", "tokens per second", (Curve("tokens_per_second", "", PURPLE),)),
)  # fmt: skip


Rows = Sequence[Mapping[str, Any]]
Points = tuple[list[float], list[float]]  # steps, values
Intervals = tuple[list[float], list[float], list[float], list[float]]  # steps, values, lows, highs


def curves(run_directory: Path, *, title: str | None = None) -> Path:
    """Draw the run's curves into `curves.png` in its directory; the path of the picture."""
    from matplotlib import rc_context, rcdefaults, rcParams

    steps, validations = _rows(run_directory / "metrics.jsonl")
    path = run_directory / "curves.png"
    unfinished = run_directory / "curves.png.tmp"
    with rc_context():  # the user's own settings are back afterwards
        rcdefaults()
        rcParams.update(STYLE)
        figure = _figure(title or run_directory.resolve().name, steps, validations)
        figure.savefig(unfinished, format="png", metadata={"Software": None})  # drawn by Agg
    os.replace(unfinished, path)
    return path


def _rows(path: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """(steps, validations). A line that a killed run left half-written is skipped."""
    steps: list[dict[str, Any]] = []
    validations: list[dict[str, Any]] = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            continue
        (validations if "validation" in row else steps).append(row)
    if not steps and not validations:
        raise DataError(
            f"The curves of a run need its metrics, but {path} is missing or empty. Without steps "
            "there is nothing to draw. Name the directory of a run that has made a step."
        )
    return steps, validations


def _figure(title: str, steps: Rows, validations: Rows) -> "Figure":
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    layout = ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.1)
    figure = Figure(figsize=(10, 6.4), dpi=150, layout=layout, facecolor="white")
    figure.suptitle(title, x=0.012, ha="left", fontsize=13, fontweight="bold")
    if (window := _window(len(steps))) > 1:
        note = f"faint: every step   strong: mean of {window} steps"
        figure.text(0.988, 0.985, note, ha="right", va="top", fontsize=9)
    axes = list(figure.subplots(2, 2).flat)
    panels = [panel for panel in CANDIDATES if _has_numbers(panel, steps, validations)]
    for ax, panel in zip(axes, panels, strict=False):
        _draw(ax, panel, steps, validations)
    for ax in axes[len(panels) :]:
        ax.set_visible(False)
    return figure


def _has_numbers(panel: Panel, steps: Rows, validations: Rows) -> bool:
    return any(len(_points(steps, curve.metric)[0]) for curve in panel.curves) or bool(
        panel.validation and len(_intervals(validations, panel.validation)[0])
    )


def _draw(ax: "Axes", panel: Panel, steps: Rows, validations: Rows) -> None:
    from matplotlib.ticker import MaxNLocator

    drawn: list[Points] = []
    for curve in panel.curves:
        points = _points(steps, curve.metric)
        if len(points[0]) and points not in drawn:  # the reward often is pass@1: one line then
            _draw_curve(ax, curve, points, _window(len(steps)))
            drawn.append(points)
    if panel.validation:
        _draw_validation(ax, panel.validation, _intervals(validations, panel.validation))
    if min((value for _, values in drawn for value in values), default=0.0) >= 0:
        ax.set_ylim(0.0, ax.get_ylim()[1] * 1.05)
    ax.set_title(panel.title)
    ax.set_xlabel("step")
    ax.set_ylabel(panel.unit)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_xlim(0, 1.01 * max(1, *(row["step"] for row in (*steps, *validations))))
    if any(text and not text.startswith("_") for text in ax.get_legend_handles_labels()[1]):
        ax.legend(loc="best")


def _draw_curve(ax: "Axes", curve: Curve, points: Points, window: int) -> None:
    """The steps faintly, and a running mean where there are enough of them."""
    xs, ys = points
    label = curve.label or "_"
    if window == 1:
        marker = "o" if len(ys) == 1 else ""
        ax.plot(xs, ys, color=curve.colour, linewidth=1.6, marker=marker, label=label)
        return
    ax.plot(xs, ys, color=curve.colour, linewidth=0.8, alpha=0.3)
    smooth = _running_mean(ys, window)
    ax.plot(xs, smooth, color=curve.colour, linewidth=1.8, label=label)


def _draw_validation(ax: "Axes", name: str, intervals: Intervals) -> None:
    xs, values, lows, highs = intervals
    if not len(xs):
        return
    label = f"{name}, held-out, with 95 % interval"
    ax.plot(xs, values, color=INK, linewidth=1.4, marker="o", markersize=4, label=label, zorder=4)
    if len(xs) > 1:
        ax.fill_between(xs, lows, highs, color=INK, alpha=0.15, linewidth=0, zorder=3)
    else:
        ax.vlines(xs, lows, highs, color=INK, linewidth=1.4, zorder=3)


def _points(steps: Rows, metric: str) -> Points:
    """(steps, values); a number that is missing or not finite leaves a gap by its absence."""
    pairs = [(row["step"], row[metric]) for row in steps if _finite(row.get(metric))]
    return [x for x, _ in pairs], [y for _, y in pairs]


def _intervals(validations: Rows, name: str) -> Intervals:
    found = [(row["step"], *row["validation"].get(name, (None,) * 3)) for row in validations]
    whole = [row for row in found if all(_finite(number) for number in row[1:])]
    steps, values, lows, highs = ([row[i] for row in whole] for i in range(4))
    return steps, values, lows, highs


def _finite(number: object) -> bool:
    return isinstance(number, int | float) and math.isfinite(number)


def _window(steps: int) -> int:
    """How many steps a running mean takes in: an odd number, so that it can be centred."""
    return steps // SMOOTHED // 2 * 2 + 1


def _running_mean(values: Sequence[float], window: int) -> list[float]:
    """Centred, and shorter at the two ends."""
    half = window // 2
    parts = (values[max(0, i - half) : i + half + 1] for i in range(len(values)))
    return [sum(part) / len(part) for part in parts]
