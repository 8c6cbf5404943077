"""`jumar train`: from options to a run, and what it came to."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from shlex import quote
from typing import Any

from rich.console import RenderableType

from jumar.cli.output import NoMarkup, without_bars
from jumar.config import RunConfig, load
from jumar.engines.contract import Estimate
from jumar.errors import ConfigurationError


def train_recipe(
    recipe: str,
    settings: Sequence[str],
    flags: Mapping[str, Any],
    out: Path | None,
    *,
    resume: bool,
) -> None:
    """Train, and print base and final scores and where everything is."""
    config = load(recipe, overrides(settings), **flags)
    directory = out or default_directory(recipe, config)
    from jumar.engines.local.distributed import is_main, together
    from jumar.run import Run

    without_bars()
    try:
        with together(config.distributed, config.loading.device):
            summary = Run(**dict(config), out=directory).train(resume=resume)
            if is_main():
                NoMarkup().show(result(summary, directory))
    except KeyboardInterrupt:
        if is_main() and (directory / "config.yaml").is_file():
            place = quote(str(directory))
            again = f"jumar train {quote(str(directory / 'config.yaml'))} --out {place} --resume"
            NoMarkup(stderr=True).print(f"The run stopped. It goes on with:\n  {again}")
        raise


def result(summary: Mapping[str, Any], directory: Path) -> RenderableType:
    """Base, final and change of the scores with their intervals, and where the run is."""
    from jumar.reports.tables import before_and_after

    if not summary["change"]:
        return (
            f"Run directory: {directory}\nNothing was evaluated at its two ends: "
            "evaluation.final_prompts is 0, or the task has no test prompts or no verifier."
        )
    estimates = {
        when: {kind: found["estimates"] for kind, found in summary[when].items()}
        for when in ("base", "final")
    }
    before, after, change = map(_scores, (*estimates.values(), summary["change"]))
    prompts = summary["base"]["sampled"]["prompts"]
    return before_and_after(
        before, after, change, title="Test split", prompts=prompts, directory=directory
    )


def _scores(by_kind: Mapping[str, Mapping[str, Sequence[float | None]]]) -> dict[str, Estimate]:
    """By name, as the table knows them: those of samples, and greedy's pass@1 as "greedy"."""
    named = {**by_kind["sampled"], "greedy": by_kind["greedy"]["pass@1"]}
    return {
        name: Estimate(*(math.nan if number is None else number for number in numbers))
        for name, numbers in named.items()
    }


def overrides(settings: Sequence[str]) -> dict[str, str]:
    """{key: text} of `key=value` options."""
    found: dict[str, str] = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals or not key:
            raise ConfigurationError(
                f"--set got {setting!r}, but needs KEY=VALUE, to know what to set. Write for "
                "example --set rollout.prompts=32."
            )
        if key in found:
            raise ConfigurationError(
                f"--set gives {key} twice, and it needs one value, to be clear. Keep one."
            )
        found[key] = value
    return found


def default_directory(recipe: str, config: RunConfig) -> Path:
    """runs/<recipe>-<algorithm>-seed<k>"""
    return Path("runs") / f"{Path(recipe).stem}-{config.algorithm.name}-seed{config.seed}"
