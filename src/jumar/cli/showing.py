"""`jumar show`: an algorithm's card, and the record that its factory makes."""

import inspect
import textwrap
from dataclasses import fields

from jumar import algorithms
from jumar.algorithm import Algorithm
from jumar.types import COLUMNS


def shown(name: str) -> str:
    """The page about one algorithm, as plain text."""
    card = algorithms.card(name)
    record = algorithms.get(card.name)
    notes = inspect.getdoc(getattr(algorithms, card.name)) or ""
    labels = "\n".join(_hanging(label, text) for label, text in card.labels.items())
    settings = "\n".join(f"{setting} = {default}" for setting, default in card.settings.items())
    parts = [
        f"{card.title}: {card.idea}",
        card.formula,
        labels,
        _section("Settings", settings or "none"),
        _section("Notes", notes),
        _section("Record", "\n".join(f"{slot:<13} {text}" for slot, text in record_lines(record))),
        _section("Reads", "\n".join(read_lines(record)) or "nothing beyond the rollout itself"),
    ]
    return "\n\n".join(parts)


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


def _section(title: str, text: str) -> str:
    return f"{title}\n{textwrap.indent(text, '    ')}"


def _hanging(label: str, text: str) -> str:
    return textwrap.fill(f"{label}: {text}", 100, subsequent_indent="    ", break_long_words=False)
