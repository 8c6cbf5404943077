"""A run directory, read: everything that `jumar train` wrote, as far as it has come.

    run = read(Path("runs/quickstart"))
    run.points("kl")                                    steps and values
    run.validation("pass@1")                            steps, values, limits of the intervals
    run.score("final", "sampled", "pass@1")             an Estimate, or None where nobody measured

The run may still go on, or may have been killed: what is missing is empty, and a line that was left
half-written is skipped; a damaged file is named. Nothing here is drawn or judged.
"""

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from jumar.engines.contract import Estimate
from jumar.engines.local.records import parsed
from jumar.errors import DataError
from jumar.reports.series import Intervals, Points, Rows, intervals, points

When = Literal["base", "final"]
Kind = Literal["sampled", "greedy"]
OWN_KL = "reverse_kl"  # over the policy's own responses


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """One run. `rows` are steps of training, `validations` come in between."""

    directory: Path
    config: Mapping[str, Any]  # of config.yaml; empty where there is none
    config_text: str
    rows: Rows  # {"step": 1, metric: number, ...}
    validations: Rows  # {"step": 10, "validation": {score: [value, low, high]}}
    diagnostics: Rows  # {"step": 10, "what": "distance", ...}: measured on demand
    summary: Mapping[str, Any]  # of summary.json; empty until the run is finished
    swaps: Sequence[int]  # steps after which the next stage of the program began

    @property
    def name(self) -> str:
        """The directory's own name."""
        return self.directory.resolve().name

    @property
    def finished(self) -> bool:
        """Whether it came to its end."""
        return bool(self.summary)

    @property
    def last_step(self) -> int:
        """The newest step that is written down; 0 before the first."""
        return max((row["step"] for row in (*self.rows, *self.validations)), default=0)

    def points(self, metric: str) -> Points:
        """A metric step by step."""
        return points(self.rows, metric)

    def validation(self, name: str) -> Intervals:
        """A score on held-out prompts, with its interval, wherever it was measured."""
        return intervals(self.validations, name)

    def drift(self) -> Points:
        """KL to where the run began, nats per token: measured on demand, or else that to the
        reference; empty where the reference became another one and nobody measured.
        """
        measured = points([row for row in self.diagnostics if row["what"] == "distance"], OWN_KL)
        if measured.steps or self.swaps:
            return measured
        return self.points("kl")

    def total(self, metric: str) -> float:
        """The sum of a metric over all steps."""
        return math.fsum(self.points(metric).values)

    def score(self, when: When, kind: Kind, name: str) -> Estimate | None:
        """A score of the base or the final model on the test split."""
        evaluation = self.summary.get(when, {}).get(kind, {})
        return _estimate(evaluation.get("estimates", {}).get(name))

    def change(self, kind: Kind, name: str) -> Estimate | None:
        """Final minus base, prompt by prompt."""
        return _estimate(self.summary.get("change", {}).get(kind, {}).get(name))


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """A prompt of an evaluation with its responses, rows of the file that keeps them."""

    prompt: str
    answer: str
    responses: Rows  # {"response", "correct", "status", "extracted", ...}

    @property
    def right(self) -> int:
        """How many of the responses are right."""
        return sum(bool(row["correct"]) for row in self.responses)

    @property
    def share(self) -> float:
        """Right responses of all."""
        return self.right / len(self.responses)


def read(directory: Path) -> RunRecord:
    """The run in `directory`; refused where there is none."""
    config = directory / "config.yaml"
    if not config.is_file() and not (directory / "metrics.jsonl").is_file():
        raise DataError(
            f"There is no run in {directory}: it has neither config.yaml nor metrics.jsonl, of "
            "which reports and comparisons are made. Name the directory that `jumar train` printed "
            "as the run directory (its --out)."
        )
    text = config.read_text(encoding="utf-8", errors="replace") if config.is_file() else ""
    rows, validations = metrics(directory / "metrics.jsonl")
    last = max((row["step"] for row in rows), default=0)
    return RunRecord(
        directory=directory,
        config=_mapping(config, yaml.safe_load),
        config_text=text,
        rows=rows,
        validations=validations,
        diagnostics=[row for row in _steps(directory / "diagnostics.jsonl") if "what" in row],
        summary=_mapping(directory / "summary.json", json.loads),
        swaps=[step for step in _ends(directory / "stages") if 0 < step < last],
    )


def metrics(path: Path) -> tuple[Rows, Rows]:
    """(steps, validations) of a metrics.jsonl."""
    rows = list(_steps(path))
    validations = [row for row in rows if "validation" in row]
    return [row for row in rows if "validation" not in row], validations


def json_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a file of JSON lines; none of a file that is not there."""
    if not path.is_file():
        return
    with path.open(encoding="utf-8", errors="replace") as file:
        yield from (row for row in map(parsed, file) if row is not None)


def answered(run: RunRecord, when: When, kind: Kind = "sampled") -> list[Answered]:
    """What a model answered to each prompt of its evaluation; empty where there was none."""
    by_prompt: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in json_lines(run.directory / "evaluation" / f"{when}-{kind}.jsonl"):
        if "response" in row:  # the first line says how they were drawn
            by_prompt.setdefault((row["prompt"], row["answer"]), []).append(row)
    return [
        Answered(prompt=prompt, answer=answer, responses=rows)
        for (prompt, answer), rows in by_prompt.items()
    ]


def _steps(path: Path) -> Iterator[dict[str, Any]]:
    """The rows that belong to a step."""
    return (row for row in json_lines(path) if isinstance(row.get("step"), int))


def _mapping(path: Path, load: Callable[[str], Any]) -> dict[str, Any]:
    """A file that holds one mapping; empty where there is none."""
    if not path.is_file():
        return {}
    try:
        found = load(path.read_text(encoding="utf-8")) or {}
    except (ValueError, yaml.YAMLError) as error:
        found = str(error)
    if not isinstance(found, dict):
        raise DataError(
            f"{path} cannot be read, because it does not hold what a run writes there "
            f"({' '.join(str(found).split())[:200]}). Without it nobody knows what the run was. "
            "Restore the file, or take it away: what it says is then left out."
        )
    return found


def _ends(stages: Path) -> list[int]:
    """The last step of each stage of training that is finished."""
    records = stages.glob("*/stage.json") if stages.is_dir() else ()
    results = [_mapping(record, json.loads).get("result", {}) for record in records]
    return sorted({result["last_step"] for result in results if "last_step" in result})


def _estimate(numbers: Sequence[float | None] | None) -> Estimate | None:
    """Of [value, low, high]; JSON has no infinity, so a limit that is not known is None."""
    if numbers is None:
        return None
    value, low, high = (math.nan if number is None else number for number in numbers)
    return Estimate(value, low, high)
