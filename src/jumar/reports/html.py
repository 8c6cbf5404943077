"""`report.html` from a run directory: one file, nothing from the network, made to be read.

    write_report(Path("runs/quickstart"))

Text that a model wrote travels as JSON and is put on the page as text and nothing else; the page's
own policy forbids every script but its own, and every connection.
"""

import base64
import hashlib
import json
import os
import textwrap
from collections.abc import Mapping, Sequence
from errno import EISDIR
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from jumar import algorithms
from jumar.engines.contract import Estimate
from jumar.errors import ConfigurationError
from jumar.reports import changes, numbers, scores
from jumar.reports.cards import described, program_card
from jumar.reports.charts import Line
from jumar.reports.findings import findings
from jumar.reports.panels import Chart, charts
from jumar.reports.progress import duration
from jumar.reports.responses import chosen, in_short, packed
from jumar.reports.runs import RunRecord, read
from jumar.reports.series import Intervals, evenly, finite

TEMPLATES = Path(__file__).parent / "templates"
TABLE_ROWS = 40  # of a chart's table; metrics.jsonl has them all
HOVER = 500  # points of a line that the page can name


def write_report(directory: Path, out: Path | None = None) -> Path:
    """Write the report of a run, finished or not; the path of the page."""
    path = out or directory / "report.html"
    write_page(path, report(read(directory)))
    return path


def write_page(path: Path, text: str) -> None:
    """Replace a page in one step."""
    try:
        if path.is_dir():
            raise IsADirectoryError(EISDIR, "it is a directory")
        unfinished = path.with_name(f".{path.name}.tmp")
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished.write_text(text, encoding="utf-8")
        os.replace(unfinished, path)
    except OSError as error:
        raise ConfigurationError(
            f"The page {path} cannot be written ({error.strerror}), and it needs a file of its "
            "own, to be opened in a browser. Name another file."
        ) from error


def report(run: RunRecord) -> str:
    """The page."""
    groups = list(charts(run))
    changed = changes.changes(run)
    shown = [*changed.better[: changes.SHOWN], *changed.worse[: changes.SHOWN]] if changed else []
    algorithm = run.config.get("algorithm")
    return page(
        "report.html",
        title=_title(run),
        script=["report.js"],
        data={
            "curves": _curves(groups),
            "responses": packed(chosen(run.directory)),
            "changes": changes.packed(shown),
        },
        run=run,
        scores=list(scores.scores(run)),
        headline=run.change("sampled", "pass@1"),
        pass_at=scores.pass_at(run),
        facts=list(scores.facts(run)),
        findings=findings(run),
        groups=groups,
        smoothed=max((chart.drawn.smoothed for _, group in groups for chart in group), default=1),
        last_row=run.rows[-1] if run.rows else {},
        algorithm=algorithm,
        described=described(algorithm, run.config.get("correction", {})) if algorithm else None,
        program=program_card(run.config.get("program", {}).get("name", "")),
        changes=changed,
        shown=changes.SHOWN,
        start=changed.common if changed else 0,
    )


def page(
    template: str, *, title: str, script: Sequence[str], data: Mapping[str, Any], **context: Any
) -> str:
    """A template with the style, scripts, and data for them; also for other pages.

    Each entry of `data` becomes the JSON of the element `data-<name>`.
    """
    style, code = _joined("page.css", "report.css"), _joined("page.js", *script)
    made = _templates().get_template(template)
    text = made.render(
        title=title,
        style=Markup(style),
        script=Markup(code),
        policy=_policy(style, code),
        data={name: Markup(in_short(value)) for name, value in data.items()},
        **context,
    )
    # half of a character that a model left behind cannot be written
    return text.encode("utf-8", "replace").decode("utf-8")


def _joined(*names: str) -> str:
    return "\n".join((TEMPLATES / name).read_text(encoding="utf-8") for name in names)


def _policy(style: str, code: str) -> str:
    """Nothing from anywhere but this very style and this very script."""
    hashes = [
        base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (style, code)
    ]
    return (
        f"default-src 'none'; style-src 'sha256-{hashes[0]}'; script-src 'sha256-{hashes[1]}'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )


@cache
def _templates() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters |= {
        "number": numbers.number,
        "score": numbers.score,
        "signed": numbers.signed,
        "interval": numbers.interval,
        "whole": numbers.whole,
        "duration": duration,
        "exact": json.dumps,
        "markup": Markup,
        "coded": _coded,
        "capital": lambda text: text[:1].upper() + text[1:],
        "dedent": textwrap.dedent,
        "table": _table,
        "anchor": lambda text: text.lower().replace(" ", "-"),
    }
    environment.tests["finite"] = finite
    environment.tests["estimate"] = lambda value: isinstance(value, Estimate)
    return environment


def _title(run: RunRecord) -> str:
    """What was trained how on what."""
    if "algorithm" not in run.config:
        return run.name
    name = run.config["algorithm"]["name"]
    method = algorithms.card(name).title if name in algorithms.names() else name
    model, task = Path(run.config["model"]).name, run.config["task"].partition("?")[0]
    return f"{model}, trained with {method} on {task}"


def _coded(text: str) -> Markup:
    """With what stands between backticks as code."""
    parts = map(escape, text.split("`"))
    return Markup().join(
        Markup("<code>{}</code>").format(part) if i % 2 else part for i, part in enumerate(parts)
    )


def _curves(groups: Sequence[tuple[str, Sequence[Chart]]]) -> dict[str, Any]:
    """{"steps": lists of steps, "lines": {key: [which list, values]}}"""
    steps: list[list[float]] = []
    lines: dict[str, Any] = {}
    for line in (line for _, group in groups for chart in group for line in chart.drawn.lines):
        places = evenly(len(line.series.steps), HOVER)
        own = [line.series.steps[i] for i in places]
        if own not in steps:
            steps.append(own)
        lines[line.key] = [steps.index(own), [line.series.values[i] for i in places]]
    return {"steps": steps, "lines": lines}


def _table(lines: Sequence[Line]) -> list[tuple[float, list[Any]]]:
    """(step, a value, an interval or None for each line): steps spread evenly, and validations."""
    steps = sorted({step for line in lines for step in line.series.steps})
    wanted = {steps[i] for i in evenly(len(steps), TABLE_ROWS)}
    for line in lines:
        if isinstance(line.series, Intervals):
            wanted.update(line.series.steps[i] for i in evenly(len(line.series.steps), TABLE_ROWS))
    cells = [_by_step(line) for line in lines]
    return [(step, [by_step.get(step) for by_step in cells]) for step in sorted(wanted)]


def _by_step(line: Line) -> dict[float, Any]:
    series = line.series
    if isinstance(series, Intervals):
        estimates = map(Estimate, series.values, series.lows, series.highs)
        return dict(zip(series.steps, estimates, strict=True))
    return dict(zip(series.steps, series.values, strict=True))
