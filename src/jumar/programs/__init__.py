"""Training in stages, as plain functions over a trainer's verbs; the folder is the registry.

`ratchet.py` holds `ratchet(trainer, *, ...)`. Every verb is journaled, so a program that was killed
is run again from its first line and continues where it was; it decides from results of verbs alone.
"""

import ast
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import cache, partial
from importlib import import_module
from pathlib import Path
from typing import Any

from jumar.engines.contract import Fit, ReferenceRewards, Stage
from jumar.errors import ConfigurationError, nearest

_FOLDER = Path(__file__).parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """What a program's module docstring says, and its settings with their defaults as text."""

    name: str
    title: str
    idea: str
    text: str
    settings: Mapping[str, str]


def names() -> list[str]:
    """Every program, sorted."""
    return sorted(p.stem for p in _FOLDER.glob("[!_]*.py"))


@cache
def card(name: str) -> Card:
    """The card of a program, from its source text."""
    if name not in names():
        raise ConfigurationError(
            f"There is no program `{name}`, and a run needs one, to know its stages. "
            f"{nearest(name, names())} Set program: to one of {', '.join(names())}."
        )
    source = ast.parse((_FOLDER / f"{name}.py").read_text(encoding="utf-8"))
    first, _, text = (ast.get_docstring(source) or "").partition("\n")
    title, _, idea = first.partition(": ")
    found = next(n for n in source.body if isinstance(n, ast.FunctionDef) and n.name == name)
    arguments = zip(found.args.kwonlyargs, found.args.kw_defaults, strict=True)
    settings = {a.arg: ast.unparse(d) if d else "required" for a, d in arguments}
    return Card(name=name, title=title, idea=idea, text=text.strip("\n"), settings=settings)


def get(name: str) -> Callable[..., None]:
    """The program itself: call it with a trainer and its settings."""
    program: Callable[..., None] = getattr(import_module(f"jumar.programs.{card(name).name}"), name)
    return program


def made(name: str) -> frozenset[str]:
    """The columns that it makes for the run's algorithm to read."""
    return frozenset(getattr(get(name), "makes", ()))


def total_steps(name: str, settings: Mapping[str, Any]) -> int:
    """How many steps a program trains for."""
    return rehearsed(partial(get(name), **settings))


def rehearsed(program: Callable[[Any], None]) -> int:
    """How many steps it trains for: counted with a trainer whose verbs end at once."""
    rehearsal = _Rehearsal()
    program(rehearsal)
    return rehearsal.steps


def calls(program: Callable[[Any], None]) -> list[tuple[str, Mapping[str, Any]]]:
    """The verbs that it calls, in order, each with the numbers that make it long."""
    rehearsal = _Rehearsal()
    program(rehearsal)
    return rehearsal.calls


class _Rehearsal:
    """A trainer whose verbs end at once; it refuses what would fail hours later."""

    def __init__(self) -> None:
        self.steps = 0
        self.calls: list[tuple[str, Mapping[str, Any]]] = []

    def train(self, *, steps: int, **_: Any) -> Stage:
        self.calls.append(("train", {"steps": steps}))
        return self._stage(steps)

    def adopt(self, model: Path, *, steps: int) -> Stage:
        _positive("adopt", steps=steps)
        self.calls.append(("adopt", {}))
        return self._stage(steps)

    def reference_rewards(self, *, samples: int, **_: Any) -> ReferenceRewards:
        _positive("reference_rewards", samples=samples)
        self.calls.append(("reference_rewards", {"samples": samples}))
        return ReferenceRewards(rewards={}, correct={})

    def sample(self, *, prompts: int, responses: int) -> Path:
        _positive("sample", prompts=prompts, responses=responses)
        self.calls.append(("sample", {"prompts": prompts, "responses": responses}))
        return Path("batch")

    def fit(
        self,
        rollout: Path,
        *,
        steps: int,
        prompts: int,
        snapshots: Collection[int] = (),
        learning_rate: float | None = None,
        **_: Any,
    ) -> Fit:
        _positive("fit", steps=steps, prompts=prompts, learning_rate=learning_rate)
        saved = {at: Path(f"step-{at}") for at in snapshots if at <= steps}
        self.calls.append(("fit", {"steps": steps, "prompts": prompts, "snapshots": len(saved)}))
        return Fit(steps=steps, last=Path("last"), snapshots=saved)

    def log_ratio(self, rollout: Path, **_: Any) -> Path:
        self.calls.append(("log_ratio", {}))
        return Path("signal")

    def _stage(self, steps: int) -> Stage:
        first, self.steps = self.steps, self.steps + steps
        return Stage(
            first_step=first, last_step=self.steps, last=Path("last"), best=Path("best"),
            last_score=None, best_score=None,
        )  # fmt: skip


def _positive(verb: str, **numbers: float | None) -> None:
    for name, number in numbers.items():
        if number is not None and number <= 0:
            raise ConfigurationError(
                f"The program calls `{verb}` with {name}={number}, which needs to be above 0, or "
                "there is nothing to learn from. Raise the program's setting."
            )
