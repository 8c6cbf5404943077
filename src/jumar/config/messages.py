"""What pydantic found wrong, as sentences: where, what is needed, why, what to do."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from difflib import get_close_matches
from typing import Any, TypeGuard

from pydantic import BaseModel, ValidationError

from jumar.config.choices import CONSTANT, SCHEDULE, ScheduleSettings
from jumar.config.record import RewardFunction, RunConfig
from jumar.errors import ConfigurationError

_CHOICES = ("algorithm", "program")
_KINDS = {  # pydantic's names of types, in a recipe's words
    "int_type": "a whole number", "float_type": "a number", "bool_type": "true or false",
    "string_type": "text", "model_type": "a group of settings (`name: value` lines)",
    "model_attributes_type": "a group of settings (`name: value` lines)",
    "dict_type": "a group of settings (`name: value` lines)",
    "tuple_type": "a list", "list_type": "a list", "int_from_float": "a whole number",
    "string_pattern_mismatch": "`package.module:function` or `path/file.py:function`",
    "string_too_short": "text", "finite_number": "a finite number",
}  # fmt: skip
_SHORTER = {"greater than or equal to": "at least", "less than or equal to": "at most"}


def refusal(error: ValidationError, data: Any, *, source: str) -> ConfigurationError:
    """One error with a sentence per problem."""
    found = error.errors(include_url=False)
    sentences = list(dict.fromkeys(_sentence(problem, data) for problem in found))
    if len(sentences) == 1:
        return ConfigurationError(f"{source}: {sentences[0]}")
    head = f"{source} has {len(sentences)} problems:"
    return ConfigurationError("\n  - ".join([head, *sentences]))


def _sentence(problem: Mapping[str, Any], data: Any) -> str:
    path = _path(problem["loc"], data)
    name = ".".join(map(str, path))
    inner = problem.get("ctx", {}).get("error")
    if isinstance(inner, ConfigurationError):
        return str(inner)
    if problem["type"] == "extra_forbidden":
        return _unknown(path, data)
    if problem["type"] == "missing":
        return (
            f"`{name}` is missing, and there is no default to fall back on. Add it{_example(path)}."
        )
    if problem["type"] == "json_invalid":
        return (
            "it has text that is not Unicode (half of a surrogate pair), which cannot be written "
            "down again. Remove the \\u escape."
        )
    shown = f"`{name}` is {_yaml(problem['input'])}"
    return (
        f"{shown}, but needs to be {_needed(problem)}. Values are never converted or moved into "
        f"range, so that a slip is not taken for a setting. Change it{_default(path)}."
    )


def _needed(problem: Mapping[str, Any]) -> str:
    words = _KINDS.get(problem["type"])
    if problem["type"] == "model_type" and problem["loc"][0] in _CHOICES:
        return "a name, or a group of settings with a name"
    if words is None:
        words = str(problem["msg"]).removeprefix("Input should be ")
        for long, short in _SHORTER.items():
            words = words.replace(long, short)
    if CONSTANT in problem["loc"]:
        words += ", or a schedule such as {start: 8, end: 2, steps: 80}"
    return words


def _path(location: Sequence[int | str], data: Any) -> list[int | str]:
    """The location without pydantic's own marks of alternatives."""
    path: list[int | str] = []
    for part in location:
        if part in (SCHEDULE, CONSTANT):
            continue
        if isinstance(data, Mapping):
            path.append(part)
            data = data.get(part)
        elif isinstance(data, list) and isinstance(part, int):
            path.append(part)
            data = data[part] if part < len(data) else None
        else:
            break
    return path


def _unknown(path: Sequence[int | str], data: Any) -> str:
    name, leaf, group = ".".join(map(str, path)), str(path[-1]), ".".join(map(str, path[:-1]))
    siblings = _fields(path[:-1], data)
    groups = {
        other: _fields([other], data)
        for other, field in RunConfig.model_fields.items()
        if _is_group(field.annotation)
    }
    everywhere = {group: siblings, "": list(RunConfig.model_fields), **groups}
    leaves = [field for fields in everywhere.values() for field in fields]
    best = get_close_matches(leaf, leaves, n=1, cutoff=0.6)
    places = [place for place, fields in everywhere.items() if best and best[0] in fields]
    near = [f"`{place}.{best[0]}`".replace("`.", "`") for place in places]
    hint = f"Did you mean {near[0] if group in places else ' or '.join(near)}?" if near else ""
    there = f"There are: {', '.join(siblings)}." if siblings else "It takes none."
    owner = f" of {_chosen(data, str(path[0]))}" if len(path) == 2 and path[0] in _CHOICES else ""
    return (
        f"`{name}` is no setting{owner}. Only known names are taken, so that a misspelt one is not "
        f"ignored. {hint or there} Correct or remove it."
    )


def _fields(path: Sequence[int | str], data: Any) -> list[str]:
    """The names of the settings that a group takes, in this run."""
    if not path:
        return list(RunConfig.model_fields)
    first = str(path[0])
    kind: Any = RunConfig.model_fields[first].annotation
    if first in _CHOICES:
        if len(path) > 1:
            return list(ScheduleSettings.model_fields)
        with suppress(ConfigurationError):  # the name itself is unknown, which is said apart
            name = kind.canonical(_chosen(data, first))
            return list(kind.signature(name).model.model_fields)
        return ["name"]
    return list(RewardFunction.model_fields if first == "rewards" else kind.model_fields)


def _is_group(kind: Any) -> TypeGuard[type[BaseModel]]:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _chosen(data: Any, slot: str) -> str:
    value = data.get(slot)
    return str(value.get("name") if isinstance(value, Mapping) else value)


def _example(path: Sequence[int | str]) -> str:
    examples = {"task": "gym:chain_sum", "algorithm": "owpo", "name": "owpo", "steps": "80"}
    example = examples.get(str(path[-1]))
    return f", for example `{path[-1]}: {example}`" if example else ""


def _default(path: Sequence[int | str]) -> str:
    """The words "; the default is 64" where there is one."""
    model: Any = RunConfig
    field: Any = None
    for part in path:
        field = model.model_fields.get(str(part)) if _is_group(model) else None
        model = field.annotation if field else None
    if field is None or field.is_required() or isinstance(field.default, BaseModel | tuple):
        return ""
    return f"; the default is {_yaml(field.default)}"


def _yaml(value: Any) -> str:
    words = {None: "null", True: "true", False: "false"}
    if value is None or isinstance(value, bool):
        return words[value]
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
