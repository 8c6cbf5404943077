"""docs/results/performance.png: step time and memory against what makes a step larger."""

from typing import Any

from matplotlib import rc_context, rcdefaults, rcParams
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import EngFormatter, FuncFormatter, LogLocator

from jumar.reports.curves import BLUE, ORANGE, STYLE
from speed.fits import exponent
from speed.records import PICTURE, stored

SIDES = {"jumar": BLUE, "TRL": ORANGE}
ROWS = {"step": ("s of a step", 1.0), "peak": ("MB at most", 1e-6)}


def draw() -> None:
    """From the record, where there is one."""
    record = stored("growth")
    if record is None:
        return
    with rc_context():
        rcdefaults()
        rcParams.update(STYLE)
        figure = _figure(record["axes"])
        figure.savefig(PICTURE, format="png", metadata={"Software": None})


def _figure(axes: dict[str, Any]) -> Figure:
    layout = ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.08)
    figure = Figure(figsize=(14, 5.6), dpi=120, layout=layout, facecolor="white")
    grid = figure.subplots(len(ROWS), len(axes))
    for row, (what, (unit, scale)) in zip(grid, ROWS.items(), strict=True):
        for ax, (name, axis) in zip(row, axes.items(), strict=True):
            for side, colour in SIDES.items():
                values = [scale * value for value in axis[side][what]]
                label = f"{side}: {exponent(axis['x'], values):.2f}"
                ax.plot(axis["x"], values, color=colour, marker="o", linewidth=1.6, label=label)
            _scale(ax, axis["x"], name)
        row[0].set_ylabel(unit)
    return figure


def _scale(ax: Axes, xs: list[float], name: str) -> None:
    """Logarithms on both sides, in plain numbers."""
    ax.set(xscale="log", yscale="log", xlabel=name)
    ax.set_xticks(xs, labels=[EngFormatter(places=0, sep="")(x) for x in xs])
    ax.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.minorticks_off()
    ax.legend(loc="best")
