"""`jumar plan`: what a run needs, as tables of estimates with their formulas."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from jumar.cli.output import NoMarkup, print_json
from jumar.cli.training import overrides
from jumar.config import load
from jumar.planning.job import Line, count
from jumar.planning.plan import Plan, plan, total
from jumar.reports.tables import empty

NOTE = "Estimates: docs/planning.md has the formulas. Every assumption can be set:"


def plan_and_print(
    recipe: str, settings: Sequence[str], flags: Mapping[str, Any], *, as_json: bool
) -> None:
    """Print the tables, or the same numbers as JSON."""
    found = plan(load(recipe, overrides(settings), **flags))
    if as_json:
        print_json({"recipe": recipe, **found.to_dict()})
    else:
        NoMarkup().show(tables(recipe, found))


def tables(recipe: str, found: Plan) -> RenderableType:
    """What runs where, then memory, time and disk, then the assumptions."""
    job, sampling = found.job, found.sampling
    apart = " of vLLM" if job.sampled_by == "server" else ""
    parts: list[RenderableType] = [
        f"{recipe}: {job.config.algorithm.name} on {job.config.model}, "
        f"{count(job.shape.parameters)} parameters; {job.plan.ranks} x {job.gpu.name}\n",
        _sizes("Memory of a GPU in an update", found.training, found.room),
    ]
    if sampling is not None:
        parts += ["", _sizes(f"Memory of a GPU{apart} while sampling", sampling.lines, found.room)]
    if found.network:
        parts += ["", _sizes("Network of a GPU in a step", found.network, None)]
    parts += ["", _times("Time of a step", found.step, shares=True)]
    parts += ["", _times("Time of the run", found.run, shares=False)]
    parts += ["", _sizes("Disk", found.disk, None), _verdict(found), Text(NOTE, style="dim")]
    return Group(*parts, *_assumptions(found))


def _sizes(title: str, lines: Sequence[Line], room: float | None) -> RenderableType:
    table = empty(title)
    table.add_column("size", justify="right", no_wrap=True)
    table.add_column("estimated as", overflow="fold")
    for line in lines:
        table.add_row(line.name, _size(line.value), line.formula)
    of = f"of {_size(room)} that may be filled" if room is not None else ""
    table.add_row("total", _size(total(lines)), of, style="bold")
    return table


def _times(title: str, lines: Sequence[Line], *, shares: bool) -> RenderableType:
    table, whole = empty(title), total(lines)
    table.add_column("time", justify="right", no_wrap=True)
    if shares:
        table.add_column("share", justify="right", no_wrap=True)
    table.add_column("estimated as", overflow="fold")
    for line in lines:
        share = [f"{line.value / whole:.0%}"] if shares else []
        table.add_row(line.name, _clock(line.value), *share, line.formula)
    table.add_row("total", _clock(whole), *([""] if shares else []), "", style="bold")
    return table


def _verdict(found: Plan) -> Text:
    if found.fits:
        return Text("\nIt fits.\n", style="bold green")
    advice = (
        "more plan.ranks with distributed.sharding=full, fewer optimiser.micro_batch_tokens, "
        "loading.gradient_checkpointing, loading.dtype=bfloat16, lora.rank"
    )
    return Text(f"\nIt does not fit. What helps: {advice}.\n", style="bold red")


def _assumptions(found: Plan) -> list[Text]:
    said = [
        f"plan.{name}={f'{value:g}' if isinstance(value, float) else value}"
        for name, value in found.job.assumptions.items()
        if value is not None
    ]
    return [Text(", ".join(said), style="dim"), Text(f"Figures: {found.job.gpu.source}.", "dim")]


def _two_digits(number: float) -> str:
    """430, 15, 1.5, 0.15: an estimate has no more."""
    rounded = float(f"{number:.2g}")
    return f"{rounded:,.0f}" if rounded >= 10 else f"{rounded:g}"


def _size(number: float) -> str:
    for unit in ("B", "kB", "MB"):
        if number < 999.5:
            return f"{_two_digits(number)} {unit}"
        number /= 1e3
    return f"{_two_digits(number)} GB"


def _clock(seconds: float) -> str:
    if seconds == 0:
        return "?"
    for unit, size, most in (("s", 1, 100), ("min", 60, 6000), ("h", 3600, 172_800)):
        if seconds < most:
            return f"{_two_digits(seconds / size)} {unit}"
    return f"{_two_digits(seconds / 86_400)} days"
