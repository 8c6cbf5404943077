"""The page of a comparison: the table of `jumar compare`, and curves over what was spent."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from markupsafe import Markup

from jumar.reports.charts import Drawn, Line, forest, lines
from jumar.reports.comparison import (
    NOTE,
    Curve,
    Group,
    Over,
    course,
    in_numbers,
    letter,
    runs_of,
    validations,
)
from jumar.reports.html import page, write_page
from jumar.reports.series import Intervals, Points

UNITS: dict[Over, str] = {
    "step": "steps",
    "seconds": "seconds of training",
    "tokens": "sampled tokens",
    "kl": "KL to the start or the reference, nats per token",
}
COLOURS = 5


def write_comparison(groups: Sequence[Group], out: Path) -> None:
    """One file, as a run's report."""
    rows = [in_numbers(group, groups[0]) for group in groups]
    for number, row in enumerate(rows):
        colour, score = _colour(number), row["pass@1"]
        picture = Markup(forest([tuple(score)], classes=[colour])) if score else None
        row |= {"letter": letter(number), "colour": colour, "picture": picture}
    methods = list(dict.fromkeys(group.label.split()[0] for group in groups))
    text = page(
        "comparison.html",
        title=" against ".join(methods) if len(methods) > 1 else f"Runs of {methods[0]}",
        script=[],
        data={},
        rows=rows,
        note=NOTE,
        runs_of=runs_of,
        groups=[
            ("Held-out pass@1", list(_charts(groups, validations))),
            ("Reward", list(_charts(groups, lambda group, over: course(group, over, "reward")))),
        ],
    )
    write_page(out, text)


def _charts(
    groups: Sequence[Group], curve: Callable[[Group, Over], Curve]
) -> Iterator[tuple[str, Drawn]]:
    """One chart for each thing that was spent, with a line for each group that has any."""
    for over, unit in UNITS.items():
        found = [(number, curve(group, over)) for number, group in enumerate(groups)]
        there = [(number, each) for number, each in found if each.places]
        if there:
            drawn = [
                Line(f"{letter(number)} {over}", letter(number), _series(each, over))
                for number, each in there
            ]
            yield unit, lines(drawn, classes=[_colour(n) for n, _ in there], along=over)


def _series(curve: Curve, over: Over) -> Intervals | Points:
    """Without a band where there is no interval, and over KL, which may go back."""
    if curve.lows == curve.highs or over == "kl":
        return Points(curve.places, curve.values)
    return Intervals(*curve)


def _colour(number: int) -> str:
    return f"c{number % COLOURS}"
