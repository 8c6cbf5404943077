"""Where a recipe's data comes from: a file, the recipe that it extends, options on top."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jumar import recipes
from jumar.config.yaml_text import read
from jumar.errors import ConfigurationError, nearest


def raw_recipe(recipe: str | Path) -> tuple[str, dict[str, Any]]:
    """(what to call it in messages, its data) of a bundled recipe's name or a path."""
    path = _path(recipe)
    data = _file(path)
    parent = data.pop("extends", None)
    if parent is not None:
        base = _file(_path(str(parent), beside=path.parent))
        if "extends" in base:
            raise ConfigurationError(
                f"{path} extends {parent}, which extends another recipe in turn; one level is "
                "enough to see where a value comes from. Copy what is needed."
            )
        data = merged(base, data)
    return f"The recipe {recipe}", data


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """`above` over `below`, group by group; another algorithm or program keeps nothing."""
    result = dict(below)
    for key, value in above.items():
        old: Any = result.get(key)
        if key in ("algorithm", "program"):
            old, value = _named(old), _named(value)
        same = isinstance(old, Mapping) and isinstance(value, Mapping)
        if same and "name" in value and value["name"] != old.get("name"):
            same = False
        result[key] = {**old, **value} if same else value
    return result


def with_overrides(
    data: Mapping[str, Any], overrides: Mapping[str, str], flags: Mapping[str, str | int | None]
) -> dict[str, Any]:
    """The data with flags and dotted `key: text` overrides on top; the text is a YAML scalar."""
    given = {key: value for key, value in flags.items() if value is not None}
    for key in overrides:
        if key in given:
            raise ConfigurationError(
                f"`{key}` is given by --{key} and by --set, and needs one value, to be clear. "
                "Keep one of the two."
            )
    values = given | {key: read(text, source=f"--set {key}") for key, text in overrides.items()}
    result = dict(data)
    for key in sorted(values, key=lambda key: key.count(".")):  # a group before what is inside it
        group, dot, leaf = key.partition(".")
        result = merged(result, {group: {leaf: values[key]} if dot else values[key]})
    return result


def _named(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


def _path(recipe: str | Path, *, beside: Path | None = None) -> Path:
    name = str(recipe)
    if name in recipes.names():
        return recipes.path(name)
    path = Path(name).expanduser() if beside is None else beside / name
    if os.path.isdir(path):
        inside = path / "config.yaml"
        hint = f"Name {inside}." if inside.is_file() else "Name a YAML file in it."
        raise ConfigurationError(f"A run needs a recipe, but {name} is a directory. {hint}")
    if os.path.exists(path):  # False too where the path cannot be looked at
        return path
    raise ConfigurationError(
        f"There is no recipe {name!r}, bundled or as a file, and a run needs one, to know what to "
        f"train. {nearest(name, recipes.names())} `jumar list recipes` describes them."
    )


def _file(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"The recipe {path} needs to be a readable UTF-8 file, but: {error}. Check the path "
            "and its permissions."
        ) from None
    data = read(text, source=f"The recipe {path}")
    if not isinstance(data, dict):
        raise ConfigurationError(
            f"The recipe {path} needs settings (`name: value` lines), to describe a run, but it "
            f"holds {'nothing' if data is None else type(data).__name__}. `jumar list recipes` "
            "shows some to start from."
        )
    return data
