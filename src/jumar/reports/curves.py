"""`curves.png` from a run's `metrics.jsonl`: score, distance, entropy and length step by step."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from jumar.disk import clear_errors
from jumar.errors import DataError
from jumar.reports.runs import metrics
from jumar.reports.series import Intervals, Points, Rows, intervals, points, running_mean, window

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's colours: told apart under every common colour blindness, and in grey
BLUE, ORANGE, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
INK, FAINT = "#333333", "#DDDDDD"

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
        with clear_errors(path):
            figure.savefig(unfinished, format="png", metadata={"Software": None})  # drawn by Agg
            os.replace(unfinished, path)
    return path


def _rows(path: Path) -> tuple[Rows, Rows]:
    """(steps, validations)"""
    steps, validations = metrics(path)
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
    if (width := window(len(steps))) > 1:
        note = f"faint: every step   strong: mean of {width} steps"
        figure.text(0.988, 0.985, note, ha="right", va="top", fontsize=9)
    axes = list(figure.subplots(2, 2).flat)
    panels = [panel for panel in CANDIDATES if _has_numbers(panel, steps, validations)]
    for ax, panel in zip(axes, panels, strict=False):
        _draw(ax, panel, steps, validations)
    for ax in axes[len(panels) :]:
        ax.set_visible(False)
    return figure


def _has_numbers(panel: Panel, steps: Rows, validations: Rows) -> bool:
    return any(len(points(steps, curve.metric)[0]) for curve in panel.curves) or bool(
        panel.validation and len(intervals(validations, panel.validation)[0])
    )


def _draw(ax: "Axes", panel: Panel, steps: Rows, validations: Rows) -> None:
    from matplotlib.ticker import MaxNLocator

    drawn: list[Points] = []
    for curve in panel.curves:
        found = points(steps, curve.metric)
        if found.steps and found not in drawn:  # the reward often is pass@1: one line then
            _draw_curve(ax, curve, found, window(len(steps)))
            drawn.append(found)
    if panel.validation:
        _draw_validation(ax, panel.validation, intervals(validations, panel.validation))
    if min((value for _, values in drawn for value in values), default=0.0) >= 0:
        ax.set_ylim(0.0, ax.get_ylim()[1] * 1.05)
    ax.set_title(panel.title)
    ax.set_xlabel("step")
    ax.set_ylabel(panel.unit)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_xlim(0, 1.01 * max(1, *(row["step"] for row in (*steps, *validations))))
    if any(text and not text.startswith("_") for text in ax.get_legend_handles_labels()[1]):
        ax.legend(loc="best")


def _draw_curve(ax: "Axes", curve: Curve, points: Points, width: int) -> None:
    """The steps faintly, and a running mean where there are enough of them."""
    xs, ys = points
    label = curve.label or "_"
    if width == 1:
        marker = "o" if len(ys) == 1 else ""
        ax.plot(xs, ys, color=curve.colour, linewidth=1.6, marker=marker, label=label)
        return
    ax.plot(xs, ys, color=curve.colour, linewidth=0.8, alpha=0.3)
    smooth = running_mean(ys, width)
    ax.plot(xs, smooth, color=curve.colour, linewidth=1.8, label=label)


def _draw_validation(ax: "Axes", name: str, found: Intervals) -> None:
    xs, values, lows, highs = found
    if not xs:
        return
    label = f"{name}, held-out, with 95 % interval"
    ax.plot(xs, values, color=INK, linewidth=1.4, marker="o", markersize=4, label=label, zorder=4)
    if len(xs) > 1:
        ax.fill_between(xs, lows, highs, color=INK, alpha=0.15, linewidth=0, zorder=3)
    else:
        ax.vlines(xs, lows, highs, color=INK, linewidth=1.4, zorder=3)
