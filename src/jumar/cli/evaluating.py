"""`jumar eval`: a model's scores on tasks' test splits."""

from collections.abc import Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import RenderableType

from jumar.cli.output import NoMarkup, print_json, without_bars
from jumar.cli.training import overrides
from jumar.config import RunConfig, parse, raw_recipe, with_overrides
from jumar.engines.contract import Estimate
from jumar.errors import ConfigurationError
from jumar.reports.tables import scores

if TYPE_CHECKING:
    from jumar.evaluation import Evaluation

# a model of 512 positions has no room for the limits that suit others
TINY = {"rollout": {"max_prompt_tokens": 128, "max_response_tokens": 256}}


def evaluate_and_print(
    model: str, tasks: Sequence[str], samples: int, settings: Sequence[str], out: Path | None, *,
    greedy: bool, as_json: bool,
) -> None:  # fmt: skip
    """Sample, score, keep every response and the scores, print."""
    config = settings_of(model, tasks[0], overrides(settings))
    from jumar.engines.local.distributed import from_main, is_main, together

    without_bars()
    with together(config.distributed, config.loading.device):
        directory = Path(from_main(lambda: _own_directory(model, tasks, out)))
        summary, tables = _evaluated(model, tasks, samples, config, directory, greedy=greedy)
        if not is_main():
            return
    if as_json:
        print_json(summary)
        return
    console = NoMarkup()
    for i, (name, shown) in enumerate(tables.items()):
        if i > 0:
            console.print("")
        console.print(f"{model} on {name}\n")
        console.show(shown)


def _evaluated(
    model: str, tasks: Sequence[str], samples: int, config: RunConfig, directory: Path, *,
    greedy: bool,
) -> tuple[dict[str, Any], dict[str, RenderableType]]:  # fmt: skip
    """What scores.json holds, and a table for each task."""
    from jumar.engines.local.checkpoint import write_json
    from jumar.evaluating import evaluate_model, response_file

    found = evaluate_model(
        model, tasks,
        samples=samples, greedy=greedy, settings=config.engine_settings(), directory=directory,
    )  # fmt: skip
    places = {
        name: {kind: str(response_file(directory, list(found), name, kind)) for kind in by_kind}
        for name, by_kind in found.items()
    }
    tasks_found = {
        name: {
            kind: {**evaluation.to_dict(), "responses": places[name][kind]}
            for kind, evaluation in by_kind.items()
        }
        for name, by_kind in found.items()
    }
    summary = {"model": model, "directory": str(directory), "tasks": tasks_found}
    write_json(directory / "scores.json", summary)
    return summary, {name: table(by_kind, places[name]) for name, by_kind in found.items()}


def _own_directory(model: str, tasks: Sequence[str], out: Path | None) -> str:
    directory = out or free_directory(model, tasks)
    check_free(directory)
    return str(directory)


def table(by_kind: Mapping[str, "Evaluation"], places: Mapping[str, str]) -> RenderableType:
    """One task: the scores of its samples, greedy's and the judge's beside them, and notes."""
    sampled = by_kind["sampled"]
    rows = sampled.estimates()
    first = {"pass@1": rows.pop("pass@1")}
    if "greedy" in by_kind:
        first["greedy"] = by_kind["greedy"].estimates()["pass@1"]
    if judged := sampled.judged():
        first["judge_pass@1"] = Estimate(*judged["judge_pass@1"])
    return scores(
        {**first, **rows},
        title="Test split",
        prompts=len(sampled.examples),
        samples=sampled.samples,
        statuses=sampled.statuses,
        notes=[note for kind, found in by_kind.items() for note in _notes(kind, found, places)],
    )


def check_free(directory: Path) -> None:
    """Refuse a directory that holds something, before anything is loaded."""
    if directory.is_dir() and any(directory.iterdir()):
        raise ConfigurationError(
            f"The directory {directory} is not empty, and an evaluation needs one of its own, to "
            "overwrite no other's responses. Choose another --out."
        )


def free_directory(model: str, tasks: Sequence[str]) -> Path:
    """runs/eval-<model>-<task>, with a number where that is taken."""
    from jumar.evaluating import slug

    others = f"-and-{len(tasks) - 1}-more" if len(tasks) > 1 else ""
    name = f"eval-{slug(model.removeprefix('runs/'))}-{slug(tasks[0])}{others}"
    numbered = (Path("runs") / (f"{name}-{i}" if i > 1 else name) for i in count(1))
    return next(directory for directory in numbered if not directory.exists())


def settings_of(model: str, task: str, changes: dict[str, str]) -> RunConfig:
    """Limits, template and the like: a run's own, the defaults for any other model."""
    made = Path(model) / "config.yaml"
    data: dict[str, Any] = raw_recipe(made)[1] if made.is_file() else {"algorithm": "reinforce"}
    if model == "tiny":
        data |= TINY
    named = {**data, "model": model, "task": task}
    return parse(with_overrides(named, changes, {}), source="The evaluation")


def _notes(kind: str, found: "Evaluation", places: Mapping[str, str]) -> list[str]:
    notes = [f"{kind}: protocol {found.digest}, responses in {places[kind]}"]
    if judged := found.judged():
        silent = judged["no_opinion"]
        causes = ", ".join(f"{count} {cause}" for cause, count in silent.items()) or "0"
        notes.append(
            f"{kind}: of {judged['asked']} refused responses the judge {judged['model']} agrees on "
            f"{judged['agrees']}, would accept {judged['accepts']}, no opinion: {causes}"
        )
    return notes
