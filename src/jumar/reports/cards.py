"""What a run's algorithm and program are: their cards, and the record that the run trained with."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from jumar import algorithms, programs
from jumar.algorithm import Algorithm
from jumar.correction import corrected
from jumar.errors import ConfigurationError
from jumar.types import COLUMNS


@dataclass(frozen=True, slots=True)
class Described:
    """A run's algorithm: its card, the settings as (name, value, default), the record by slot."""

    card: algorithms.Card
    settings: Sequence[tuple[str, str, str]]
    record: Sequence[tuple[str, str]]
    reads: Sequence[str]


def described(chosen: Mapping[str, Any], correction: Mapping[str, Any]) -> Described | None:
    """Of `algorithm` and `correction` in a config.yaml; None where this version of jumar has no
    such algorithm.
    """
    settings = {name: value for name, value in chosen.items() if name != "name"}
    try:
        card = algorithms.card(chosen["name"])
        record = algorithms.get(chosen["name"], **settings)
        record = corrected(record, **{"kind": "none", **correction})
    except ConfigurationError:  # made in Python, or by another version
        return None
    defaults = {name: default.strip("'\"") for name, default in card.settings.items()}
    rows = [(name, str(value), defaults[name]) for name, value in settings.items()]
    return Described(card, rows, record_lines(record), read_lines(record))


def program_card(name: str) -> programs.Card | None:
    """The card of a bundled program."""
    return programs.card(name) if name in programs.names() else None


def record_lines(record: Algorithm) -> list[tuple[str, str]]:
    """(slot, what is in it) for every slot."""
    return [
        (field.name, _slot(getattr(record, field.name)))
        for field in fields(record)
        if field.name != "name"
    ]


def read_lines(record: Algorithm) -> list[str]:
    """The optional columns and requested divergences that the engine must provide."""
    columns = [f"{column}: {COLUMNS[column].meaning}" for column in sorted(record.reads)]
    return columns + [f"{d}: over the whole vocabulary, with gradient" for d in record.divergences]


def _slot(value: object) -> str:
    if value is None or value == ():
        return "none"
    if isinstance(value, tuple):
        return ", ".join(f"{p.coef} * {p.piece!r} as {p.name}" for p in value)
    return value if isinstance(value, str) else repr(value)
