"""What programs and evaluation know of an engine, and no more.

A verb of the trainer is a journaled stage: its result is stored when it is finished and returned
when the program runs again, so a program that was killed is simply started once more.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from jumar.tasks.task import Example


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """What a stage of training left: model directories, and the validation score of each."""

    first_step: int
    last_step: int
    last: Path  # the policy at its end
    best: Path  # the policy with the best validation score; `last` where nothing was evaluated
    last_score: float | None
    best_score: float | None


class Trainer(Protocol):
    """The verbs of a program."""

    def train(self, *, steps: int, reference: Path | None = None) -> Stage:
        """Train the policy for `steps`; `reference` replaces the one that it started with."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Responses:
    """Responses as text, `samples` in a row for each example, and what they cost in tokens."""

    texts: Sequence[str]
    tokens: Sequence[int]
    truncated: Sequence[bool]


class Policy(Protocol):
    """Something that answers examples."""

    def respond(
        self,
        examples: Sequence[Example],
        *,
        samples: int,
        temperature: float,
        top_p: float,
        seed: int,
    ) -> Responses:
        """Responses to each example; temperature 0 is greedy."""
        ...


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number and the 95 % interval that belongs to it."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


Validation = Callable[[Policy, int], Mapping[str, Estimate]]
"""(policy, step) -> estimates by name; `pass@1` decides which checkpoint is the best."""


class Observer(Protocol):
    """Who is told how a run goes: the progress line, trackers."""

    def on_phase(self, text: str) -> None:
        """What begins now, before and after the steps: "evaluating the base model"."""
        ...

    def on_step(self, step: int, total: int | None, metrics: Mapping[str, float]) -> None:
        """After each step of training."""
        ...

    def on_validation(self, step: int, estimates: Mapping[str, Estimate]) -> None:
        """After each evaluation on held-out prompts."""
        ...
