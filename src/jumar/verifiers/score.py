"""What a verifier says about one response, and the record that names a verifier."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, get_args

Status = Literal["right", "wrong", "unparseable", "timed_out", "crashed"]
STATUSES: tuple[Status, ...] = get_args(Status)


@dataclass(frozen=True, slots=True)
class Score:
    """One response's score (usually in [0, 1]) and, apart from it, whether it earned the full mark.

    `status` keeps five outcomes apart that a bare number would merge: a wrong answer, none
    that could be read, a verifier that ran out of time, and one that broke.
    """

    score: float
    correct: bool
    status: Status
    extracted: str | None = None
    rewards: Mapping[str, float] = field(default_factory=dict)
    detail: str = ""


@dataclass(frozen=True, slots=True)
class VerifierSpec:
    """A verifier as data: its kind and JSON-able options, enough to build it in another process."""

    kind: str
    options: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """{"kind": ..., "options": ...}: what travels to a worker and into a run's config."""
        return {"kind": self.kind, "options": dict(self.options)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "VerifierSpec":
        """The spec that `to_dict` wrote."""
        return cls(kind=str(data["kind"]), options=dict(data.get("options", {})))


class Scorable(Protocol):
    """What a verifier needs of an example; `jumar.tasks.Example` is one."""

    @property
    def prompt(self) -> str: ...
    @property
    def answer(self) -> str: ...
    @property
    def metadata(self) -> Mapping[str, Any]: ...


@dataclass(frozen=True, slots=True)
class Row:
    """The example as the worker sees it."""

    prompt: str
    answer: str
    metadata: Mapping[str, Any] = field(default_factory=dict)


class Scorer(Protocol):
    """(response, example) -> Score; the only shape a verifier has."""

    def __call__(self, response: str, example: Scorable) -> Score: ...


def unparseable(detail: str = "no answer found in the response") -> Score:
    """Score 0: nothing that could be read as an answer."""
    return Score(0.0, False, "unparseable", None, {}, detail)


def graded(score: float, correct: bool, extracted: str | None, detail: str = "") -> Score:
    """Right where `correct`, wrong otherwise; the score is kept as it is."""
    return Score(float(score), correct, "right" if correct else "wrong", extracted, {}, detail)
