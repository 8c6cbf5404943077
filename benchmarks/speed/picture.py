"""docs/results/performance.png: step time and memory against what makes a step larger."""

from typing import Any

from matplotlib import rc_context, rcdefaults, rcParams
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

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
            ax.set(xscale="log", yscale="log", xlabel=name)
            ax.legend(loc="best")
        row[0].set_ylabel(unit)
    return figure
