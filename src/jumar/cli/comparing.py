"""`jumar compare`: several runs as a table, seeds pooled."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Group as Together
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from jumar.cli.output import NoMarkup, print_json
from jumar.engines.contract import Estimate
from jumar.reports.comparison import NOTE, Group, grouped, in_numbers, letter, runs_of
from jumar.reports.progress import compact, duration
from jumar.reports.runs import read
from jumar.reports.tables import difference, empty, interval

SCORES = ("pass@1", "over seeds", "change")
HELD_OUT = ("best", "last")
COSTS = ("runs", "KL", "tokens", "time")


def compare_and_print(
    directories: Sequence[Path], *, html: Path | None = None, as_json: bool = False
) -> None:
    """The table, or the same numbers as JSON; and a page of them where one is asked for."""
    groups = grouped([read(directory) for directory in directories])
    for group in groups:
        _ = group.protocol  # refused before half a table is printed
    if html is not None:
        from jumar.reports.comparison_page import write_comparison

        write_comparison(groups, html)
    if as_json:
        print_json([in_numbers(group, groups[0]) for group in groups])
    else:
        NoMarkup().show(_table(groups))


def _table(groups: Sequence[Group]) -> RenderableType:
    rows = [in_numbers(group, groups[0]) for group in groups]
    names = [letter(number) for number in range(len(rows))]
    legend = Table.grid(padding=(0, 2))
    parts: list[RenderableType] = [legend]
    for name, row in zip(names, rows, strict=True):
        legend.add_row(name, Text(row["label"], overflow="fold"))
    for title, headings, cells in (
        ("Scores", SCORES, _scores), ("Validation", HELD_OUT, _held_out), ("Runs", COSTS, _costs),
    ):  # fmt: skip
        table = empty(title)
        for heading in headings:
            table.add_column(heading, justify="right", no_wrap=True)
        for name, row in zip(names, rows, strict=True):
            table.add_row(name, *cells(row))
        parts += ["", table]
    return Together(*parts, Text(f"\n{NOTE}", style="dim"))


def _scores(row: Mapping[str, Any]) -> list[Text | str]:
    score, seeds, apart = (
        Estimate(*row[name]) if row[name] else None for name in ("pass@1", "over_seeds", "change")
    )
    return [
        interval(score) if score else "not finished",
        f"[{seeds.low:.3f}, {seeds.high:.3f}]" if seeds else "",
        difference(apart) if apart else f"other {', '.join(row['differs'])}" * bool(row["differs"]),
    ]


def _held_out(row: Mapping[str, Any]) -> list[Text | str]:
    found = (row["best_validation"], row["last_validation"])
    return [interval(Estimate(*numbers)) if numbers else "" for numbers in found]


def _costs(row: Mapping[str, Any]) -> list[Text | str]:
    return [
        runs_of(row),
        "" if row["kl"] is None else f"{row['kl']:.4f}",
        compact(row["sampled_tokens"]) if row["sampled_tokens"] else "",
        duration(row["seconds"]) if row["seconds"] else "",
    ]
