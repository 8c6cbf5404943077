"""`jumar eval`: a model's scores on a task's test split."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jumar.cli.output import NoMarkup, print_json, without_bars
from jumar.cli.training import overrides
from jumar.config import RunConfig, parse, raw_recipe, with_overrides
from jumar.reports.tables import scores

# a model of 512 positions has no room for the limits that suit others
TINY = {"rollout": {"max_prompt_tokens": 128, "max_response_tokens": 256}}


def evaluate_and_print(
    model: str, task: str, samples: int, settings: Sequence[str], *, as_json: bool
) -> None:
    """Sample, score, print."""
    config = settings_of(model, task, overrides(settings))
    from jumar.run import evaluate_model

    without_bars()
    evaluation = evaluate_model(
        model,
        task,
        samples=samples,
        temperature=config.evaluation.temperature,
        settings=config.engine_settings(),
    )
    if as_json:
        print_json({"model": model, "task": task, **evaluation.to_dict()})
        return
    table = scores(
        evaluation.estimates(),
        title="Test split",
        prompts=len(evaluation.examples),
        samples=evaluation.samples,
        statuses=evaluation.statuses,
    )
    NoMarkup().print(f"{model} on {task}\n")
    NoMarkup().show(table)


def settings_of(model: str, task: str, changes: dict[str, str]) -> RunConfig:
    """Limits, template and the like: a run's own, the defaults for any other model."""
    made = Path(model) / "config.yaml"
    data: dict[str, Any] = raw_recipe(made)[1] if made.is_file() else {"algorithm": "reinforce"}
    if model == "tiny":
        data |= TINY
    named = {**data, "model": model, "task": task}
    return parse(with_overrides(named, changes, {}), source="The evaluation")
