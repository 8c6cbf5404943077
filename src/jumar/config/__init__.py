"""Recipes: from YAML and options on the command line to a checked record, and back.

    config = load("quickstart", {"rollout.prompts": "16"}, algorithm="grpo")
    config = parse({"task": "gym:chain_sum", "algorithm": "owpo"})
    dump(config)                                             YAML that can be run again

Loading imports no torch: the settings of algorithms and programs are read from their source text.
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import to_jsonable_python

from jumar.config.choices import AlgorithmConfig, ProgramConfig
from jumar.config.messages import refusal
from jumar.config.record import RewardFunction, RunConfig
from jumar.config.sources import raw_recipe, with_overrides
from jumar.config.yaml_text import read, written
from jumar.errors import ConfigurationError

__all__ = [
    "AlgorithmConfig",
    "ProgramConfig",
    "RewardFunction",
    "RunConfig",
    "changed_settings",
    "dump",
    "load",
    "parse",
    "raw_recipe",
    "with_overrides",
]


def load(
    recipe: str | Path, overrides: Mapping[str, str] | None = None, **flags: str | int | None
) -> RunConfig:
    """The run of a recipe, with `--set` values (text) and flags that are not None on top."""
    source, data = raw_recipe(recipe)
    config = parse(with_overrides(data, overrides or {}, flags), source=source)
    if "record" in config.algorithm.settings:
        raise ConfigurationError(
            f"{source} was written by a run whose algorithm `{config.algorithm.name}` was made in "
            "Python, and a recipe needs one by name, to make it again. Run that program again, or "
            "set algorithm to a name of `jumar list algorithms`."
        )
    return config


def parse(data: Mapping[str, Any], *, source: str = "The run") -> RunConfig:
    """The record of plain data, or one ConfigurationError with everything that is wrong."""
    try:
        plain = _implied(to_jsonable_python(dict(data)))
        _refuse_infinite(plain, source)
        return RunConfig.model_validate_json(json.dumps(plain), strict=True)
    except ValidationError as error:
        raise refusal(error, plain, source=source) from None


def dump(config: RunConfig) -> str:
    """YAML text, every default written out."""
    return written(config.model_dump(mode="json"))


def changed_settings(text: str, config: RunConfig) -> list[str]:
    """What differs from the run that `text` was dumped for, as dotted names; what it learns depends
    on no tracker, no judge, no number of processes, and not on where vLLM runs.
    """
    there, here = (_leaves(read(dumped, source="config.yaml")) for dumped in (text, dump(config)))
    apart = {"tracker", "tracking", "judge", "distributed", "vllm"}
    changed = {name for name, _ in there.items() ^ here.items()}
    return sorted(name for name in changed if name.split(".")[0] not in apart)


def _leaves(data: Any, path: str = "") -> dict[str, str]:
    """Every value that is no group, as text by its dotted name."""
    if not isinstance(data, Mapping):
        return {path: repr(data)}
    parts = [_leaves(value, f"{path}.{key}" if path else str(key)) for key, value in data.items()]
    return {name: value for part in parts for name, value in part.items()}


def _implied(data: dict[str, Any]) -> dict[str, Any]:
    """With `rewards`, partial credit: else only right and wrong would be learned from."""
    scoring = data.get("scoring", {})
    if not data.get("rewards") or not isinstance(scoring, dict):
        return data
    return {**data, "scoring": {"partial_credit": True, **scoring}}


def _refuse_infinite(data: Any, source: str, path: str = "") -> None:
    if isinstance(data, float) and not math.isfinite(data):
        raise ConfigurationError(
            f"{source}: `{path}` is {data}, but needs to be a finite number, to be computed with. "
            "Change it; a limit is switched off by null or 0 where it can be."
        )
    if isinstance(data, Mapping | list):
        pairs = data.items() if isinstance(data, Mapping) else enumerate(data)
        for key, value in pairs:
            _refuse_infinite(value, source, f"{path}.{key}" if path else str(key))
