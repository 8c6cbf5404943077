"""An algorithm or a program by name with its settings, checked against its signature.

The signature is read from the source text, so that checking a recipe imports no torch.
"""

import ast
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    create_model,
    model_serializer,
    model_validator,
)
from pydantic_core import to_jsonable_python

from jumar import algorithms, programs
from jumar.engines.settings import Settings
from jumar.errors import ConfigurationError

SCHEDULE, CONSTANT = "<schedule>", "<constant>"  # tags in the locations of pydantic's errors


class ScheduleSettings(Settings):
    """The fields of `jumar.schedules.Schedule`."""

    start: float
    end: float
    steps: int = Field(ge=0)
    shape: Literal["linear", "cosine", "harmonic"] = "linear"
    clock: Literal["step", "stage_step"] = "step"
    then: "ScheduleSettings | None" = None


class Choice(Settings):
    """A name and all settings: those of the recipe, and the defaults of the signature."""

    name: str
    settings: dict[str, Any]

    registry: ClassVar[ModuleType]  # jumar.algorithms or jumar.programs

    @model_validator(mode="before")
    @classmethod
    def _flat(cls, value: Any) -> Any:
        """`owpo` and `{name: owpo, w_max: 3}`, as recipes write them.

        `{name: mine, record: text}` stands for an object made in Python: written down, not checked.
        """
        if isinstance(value, str):
            value = {"name": value}
        if not isinstance(value, dict):
            return value
        if not isinstance(value.get("name"), str):
            return {"settings": {}, **{key: value[key] for key in value if key == "name"}}
        if set(value) == {"name", "record"}:
            return {"name": value["name"], "settings": {"record": str(value["record"])}}
        given = {key: setting for key, setting in value.items() if key != "name"}
        name = cls.canonical(value["name"])
        signature = cls.signature(name)
        text = json.dumps(to_jsonable_python(given))
        checked = dict(signature.model.model_validate_json(text, strict=True).model_dump())
        return {"name": name, "settings": {**signature.defaults, **{k: checked[k] for k in given}}}

    @model_serializer
    def _written(self) -> dict[str, Any]:
        return {"name": self.name, **self.settings}

    @classmethod
    def canonical(cls, name: str) -> str:
        """Its own name for an alias; an error with the nearest names where there is none."""
        known: str = cls.registry.card(name).name
        return known

    @classmethod
    def signature(cls, name: str) -> "Signature":
        """The settings of one algorithm or program."""
        return signature_of(Path(str(cls.registry.__file__)).parent / f"{name}.py", name)


class AlgorithmConfig(Choice):
    """`owpo`, or `{name: owpo, w_max: 3}`."""

    registry: ClassVar[ModuleType] = algorithms


class ProgramConfig(Choice):
    """`plain`, or `{name: plain, steps: 200}`."""

    registry: ClassVar[ModuleType] = programs

    @property
    def total_steps(self) -> int:
        """Steps of training in all."""
        return programs.total_steps(self.name, self.settings)

    @model_validator(mode="after")
    def _trains(self) -> Self:
        if self.total_steps < 1:
            shown = ", ".join(f"{key}={value}" for key, value in self.settings.items())
            raise ConfigurationError(
                f"`program` {self.name} with {shown} trains for {self.total_steps} steps, and "
                "needs at least 1, to change anything. Raise them."
            )
        return self


@dataclass(frozen=True, slots=True)
class Signature:
    """What a factory takes: a model that checks it, and the defaults that are plain data."""

    model: type[Settings]
    defaults: Mapping[str, Any]


@cache
def signature_of(file: Path, function: str) -> Signature:
    """What the function in this file takes, read from its source text."""
    source = ast.parse(file.read_text(encoding="utf-8"))
    aliases = {
        node.targets[0].id: node.value
        for node in source.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    found = next(n for n in source.body if isinstance(n, ast.FunctionDef) and n.name == function)
    fields: dict[str, Any] = {}
    defaults: dict[str, Any] = {}
    for argument, default in zip(found.args.kwonlyargs, found.args.kw_defaults, strict=True):
        fields[argument.arg] = (_type(argument.annotation, aliases), None if default else ...)
        with suppress(ValueError):  # a default that is computed stays the factory's business
            if default is not None:
                defaults[argument.arg] = ast.literal_eval(default)
    config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
    return Signature(create_model(function, __config__=config, **fields), defaults)


def _type(node: ast.expr | None, aliases: Mapping[str, ast.expr]) -> Any:
    """The annotation as a type; what is neither plain data nor a schedule is taken as it comes."""
    plain = {"int": int, "float": float, "str": str, "bool": bool, "None": None}
    match node:
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return _union(_type(left, aliases), _type(right, aliases))
        case ast.Constant(value=None):
            return None
        case ast.Name(id="Schedule"):
            return ScheduleSettings
        case ast.Name(id=name) if name in plain:
            return plain[name]
        case ast.Name(id=name) if name in aliases:
            return _type(aliases[name], aliases)
        case ast.Subscript(value=ast.Name(id="Literal"), slice=choices):
            values = ast.literal_eval(choices)
            return Literal[values]  # pydantic reads it at run time
        case ast.Subscript(value=ast.Name(id="list"), slice=inner):
            return list[_type(inner, aliases)]  # type: ignore[misc]  # and this
        case ast.Subscript(value=ast.Name(id="tuple"), slice=ast.Tuple(elts=[inner, _])):
            return tuple[_type(inner, aliases), ...]  # type: ignore[misc]
    return Any


def _union(left: Any, right: Any) -> Any:
    if left is ScheduleSettings:
        left, right = right, left
    if right is not ScheduleSettings:
        return left | right
    tagged = Annotated[left, Tag(CONSTANT)] | Annotated[right, Tag(SCHEDULE)]
    return Annotated[tagged, Discriminator(_tag)]


def _tag(value: Any) -> str:
    return SCHEDULE if isinstance(value, dict | ScheduleSettings) else CONSTANT
