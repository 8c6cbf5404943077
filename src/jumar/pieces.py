"""A piece is a function with its settings bound: a frozen value that can be compared and printed.

    @reads("ref_logprobs", "{policy}")
    def one_way_weight(tokens, *, policy="logprobs", w_min, w_max): ...

    piece(one_way_weight, w_min=0.5, w_max=2.0)

`functools.partial` compares by identity, prints an address and hides what its function reads.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from inspect import signature
from typing import Any, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Piece:
    """A module-level function and the keyword settings that it is called with."""

    fn: Callable[..., Any]
    settings: tuple[tuple[str, Any], ...] = ()

    def __call__(self, *args: Any) -> Any:
        return self.fn(*args, **dict(self.settings))

    def __repr__(self) -> str:
        inside = ", ".join(f"{name}={value!r}" for name, value in self.settings)
        return f"{self.fn.__name__}({inside})" if inside else self.fn.__name__

    @property
    def reads(self) -> frozenset[str]:
        """The optional columns that this piece and the pieces inside its settings read."""
        bound = _defaults(self.fn) | dict(self.settings)
        own = {name.format(**bound) for name in getattr(self.fn, "reads", ())}
        return frozenset(own).union(*(inner.reads for inner in self.inner()))

    @property
    def makes(self) -> frozenset[str]:
        """The columns that this piece adds to the signals."""
        own: frozenset[str] = frozenset(getattr(self.fn, "makes", ()))
        return own.union(*(inner.makes for inner in self.inner()))

    @property
    def traits(self) -> frozenset[str]:
        """The conditional laws that this piece, or the one it wraps, promises to keep."""
        own: frozenset[str] = frozenset(getattr(self.fn, "traits", ()))
        return own.union(*(inner.traits for inner in self.inner()))

    def inner(self) -> Iterator["Piece"]:
        """Pieces among the settings: an advantage that wraps another."""
        return (value for _, value in self.settings if isinstance(value, Piece))


def _defaults(fn: Callable[..., Any]) -> dict[str, Any]:
    parameters = signature(fn).parameters.values()
    return {p.name: p.default for p in parameters if p.default is not p.empty}


def piece(fn: Callable[..., Any], **settings: Any) -> Piece:
    """`fn` with `settings` bound, checked against its signature, in the order of their names."""
    signature(fn).bind_partial(**settings)
    return Piece(fn, tuple(sorted(settings.items())))


def reads(*columns: str) -> Callable[[Function], Function]:
    """Declare the optional columns that a function reads; "{name}" stands for a setting's value."""
    return _marked("reads", columns)


def makes(*columns: str) -> Callable[[Function], Function]:
    """Declare the columns that an advantage adds to its signals, for the token pieces to read."""
    return _marked("makes", columns)


def promises(*traits: str) -> Callable[[Function], Function]:
    """Declare conditional laws, which `tests/laws` checks: "group_centred", "policy_gradient",
    "per_response" (a surrogate that gives one loss for each response).
    """
    return _marked("traits", traits)


def _marked(attribute: str, names: tuple[str, ...]) -> Callable[[Function], Function]:
    def mark(fn: Function) -> Function:
        setattr(fn, attribute, names)
        return fn

    return mark
