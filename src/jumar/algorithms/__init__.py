"""The folder is the registry: `owpo.py` holds `owpo()`, whose `.name` is "owpo".

algorithms.owpo(w_max=2.0)              the record
algorithms.get("owpo", w_max=2.0)       the same by name, with messages for what is unknown
algorithms.names(), algorithms.card("owpo")      read from the source text: no torch is imported
"""

import ast
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from inspect import signature
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from jumar.errors import ConfigurationError, nearest

if TYPE_CHECKING:
    from jumar.algorithm import Algorithm

_FOLDER = Path(__file__).parent
_LABELS = ("Paper", "Code", "Departs", "Elsewhere", "Changes", "Needs", "Also called")
CHANGES = {  # what a card may say under Changes: a slot of the record, or a kind of learning
    "advantage": "Advantages: what a response is compared with",
    "token_weight": "Weights: how much each token counts",
    "surrogate": "Surrogates and trust regions: how far one update goes",
    "penalties": "Penalties",
    "keep": "Filters: which responses are learned from",
    "reward": "Rewards and lengths",
    "value_loss": "Critics",
    "teacher": "Distillation from a teacher",
    "preference": "Preferences between responses",
    "regression": "Regressions onto what a response is worth",
    "likelihood": "Imitation of given responses",
}


class _Folder(ModuleType):
    """`algorithms.owpo` is the factory, before and after Python binds the submodule's name here."""

    def __setattr__(self, name: str, value: Any) -> None:
        own = isinstance(value, ModuleType) and value.__name__ == f"{__name__}.{name}"
        super().__setattr__(name, getattr(value, name, value) if own else value)


sys.modules[__name__].__class__ = _Folder


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """What an algorithm's module docstring says, and its settings with their defaults as text."""

    name: str
    title: str
    idea: str
    formula: str
    labels: Mapping[
        str, str
    ]  # of _LABELS, in their order; the last two only where there is such a thing
    settings: Mapping[str, str]

    @property
    def changes(self) -> str:
        """The key of `CHANGES` under which tables list it."""
        return self.labels["Changes"].rstrip(".")

    @property
    def needs(self) -> list[str]:
        """Columns that it reads and no engine here gives."""
        return re.findall(r"`(\w+)`", self.labels.get("Needs", ""))

    @property
    def aliases(self) -> list[str]:
        """Other names under which people look for it."""
        return re.findall(r"[\w-]+", self.labels.get("Also called", ""))


def names() -> list[str]:
    """Every algorithm, sorted."""
    return sorted(p.stem for p in _FOLDER.glob("[!_]*.py"))


@cache
def card(name: str) -> Card:
    """The card of an algorithm, from its source text."""
    name = _known(name)
    source = ast.parse((_FOLDER / f"{name}.py").read_text(encoding="utf-8"))
    text = ast.get_docstring(source) or ""
    head, *labelled = re.split(rf"(?:^|(?<=\.)\s+)({'|'.join(_LABELS)}): ", text, flags=re.M)
    first, _, body = head.partition("\n")
    title, _, idea = first.partition(": ")
    factory = next(n for n in source.body if isinstance(n, ast.FunctionDef) and n.name == name)
    arguments = zip(factory.args.kwonlyargs, factory.args.kw_defaults, strict=True)
    return Card(
        name=name,
        title=title,
        idea=idea,
        formula=body.strip("\n"),
        labels={k: v.strip() for k, v in zip(labelled[::2], labelled[1::2], strict=True)},
        settings={a.arg: ast.unparse(d) if d else "required" for a, d in arguments},
    )


def get(name: str, **settings: Any) -> "Algorithm":
    """The record of an algorithm; a setting given as {start, end, steps} is a schedule."""
    factory = _factory(_known(name))
    valid = signature(factory).parameters
    for setting in settings:
        if setting not in valid:
            raise ConfigurationError(
                f"`{name}` has no setting `{setting}`. {nearest(setting, list(valid))}"
            )
    return factory(**{key: _scheduled(value) for key, value in settings.items()})


def _factory(name: str) -> "Callable[..., Algorithm]":
    factory: Callable[..., Algorithm] = getattr(import_module(f"jumar.algorithms.{name}"), name)
    return factory


def _known(name: str) -> str:
    if name in names():
        return name
    found = [known for known in names() if name in card(known).aliases]
    if len(found) > 1:
        raise ConfigurationError(
            f"`{name}` is the short name of {', '.join(found)}, but one algorithm is needed. "
            "Papers share short names. Write the long name of the one that you mean."
        )
    if found:
        return found[0]
    raise ConfigurationError(f"There is no algorithm `{name}`. {nearest(name, names())}")


def _scheduled(value: Any) -> Any:
    if not isinstance(value, Mapping):
        return value
    from jumar.schedules import Schedule

    try:
        return Schedule(**{name: _scheduled(part) for name, part in value.items()})
    except TypeError as error:
        raise ConfigurationError(
            f"A schedule got {dict(value)}, but needs start, end and steps, and may have shape, "
            f"clock and then ({error}). Write for example {{start: 8, end: 2, steps: 80}}."
        ) from None


def __getattr__(name: str) -> Any:
    if name in names():
        return _factory(name)
    raise AttributeError(f"module 'jumar.algorithms' has no attribute {name!r}")
