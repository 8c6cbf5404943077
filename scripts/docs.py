#!/usr/bin/env python
"""Writes what the documentation says about algorithms and programs, from their cards.

docs/algorithms/<name>.md     a page per algorithm
docs/algorithms/README.md     the tables of algorithms and programs
docs/catalogue.md             every paper of the field's lists, and what of it is here
README.md                     the table of algorithms, between its two markers

`--check` writes nothing and fails where a file is not what would be written.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import catalogue

from jumar import algorithms, programs
from jumar.reports.cards import read_lines, record_lines

ROOT = Path(__file__).resolve().parent.parent
PAGES = ROOT / "docs" / "algorithms"
START, END = "<!-- algorithms -->", "<!-- /algorithms -->"
GENERATED = "<!-- Generated from the card by `make docs`; change the card. -->"


def pages() -> dict[Path, str]:
    """Every generated file and its text."""
    found = {PAGES / f"{name}.md": page(name) for name in algorithms.names()}
    found[PAGES / "README.md"] = overview()
    found[ROOT / "docs" / "catalogue.md"] = catalogue.page()
    found[ROOT / "README.md"] = with_table((ROOT / "README.md").read_text(encoding="utf-8"))
    return found


def page(name: str) -> str:
    """The page of one algorithm."""
    card, record = algorithms.card(name), algorithms.get(name)
    factory = getattr(algorithms, name)
    notes = "\n".join(line.strip() for line in (factory.__doc__ or "").strip().splitlines())
    formula, _, comment = card.formula.partition("\n\n")
    blocks = [
        GENERATED,
        f"# {card.title}",
        f"{card.idea[0].upper()}{card.idea[1:]}",
        f"```text\n{_dedented(formula)}\n```",
        comment,
        "\n".join(f"- **{label}:** {linked(text)}" for label, text in card.labels.items()),
        "## Settings",
        _table(("setting", "default"), [(f"`{k}`", f"`{v}`") for k, v in card.settings.items()])
        if card.settings
        else "None.",
        notes,
        "## Record",
        _table(("slot", "piece"), [(f"`{k}`", f"`{v}`") for k, v in record_lines(record)]),
        "Beside what every rollout has, it reads",
        "\n".join(f"- `{line.replace(':', '`:', 1)}" for line in read_lines(record))
        or "- nothing.",
    ]
    return "\n\n".join(block for block in blocks if block) + "\n"


def overview() -> str:
    """The tables of algorithms and of programs."""
    rows = [
        (
            f"`{card.name}`",
            card.idea,
            ", ".join(f"`{name}={v}`" for name, v in card.settings.items()),
        )
        for card in map(programs.card, programs.names())
    ]
    blocks = [
        GENERATED.replace("card", "cards"),
        "# Algorithms",
        "One file each in `src/jumar/algorithms/`; `jumar show NAME` prints a page in a terminal.",
        algorithm_table(""),
        "## Programs",
        "Training in stages, as plain functions in `src/jumar/programs/`; a recipe names one and "
        "its settings under `program`.",
        _table(("program", "what it does", "settings"), rows),
    ]
    return "\n\n".join(blocks) + "\n"


def algorithm_table(folder: str) -> str:
    """Name with a link, idea, paper; by what they change."""
    cards = [algorithms.card(name) for name in algorithms.names()]
    rows = []
    for change, heading in algorithms.CHANGES.items():
        rows.append((f"**{heading}**", "", ""))
        rows += [
            (f"[`{card.name}`]({folder}{card.name}.md)", card.idea, linked(_citation(card)))
            for card in cards
            if card.changes == change
        ]
    return _table(("algorithm", "the idea", "paper"), rows)


def with_table(readme: str) -> str:
    """The text with the table of algorithms between its markers."""
    before, start, rest = readme.partition(START)
    _, end, after = rest.partition(END)
    if not start or not end:
        sys.exit(
            f"README.md needs the lines {START} and {END}: the table of algorithms goes there."
        )
    return f"{before}{START}\n{algorithm_table('docs/algorithms/')}\n{END}{after}"


def linked(text: str) -> str:
    """The text with its arXiv numbers as links."""
    words = []
    for word in text.split(" "):
        number = word.rstrip(",.;").removeprefix("arXiv:")
        if word.startswith("arXiv:"):
            link = f"[arXiv:{number}](https://arxiv.org/abs/{number})"
            word = word.replace(f"arXiv:{number}", link)
        words.append(word)
    return " ".join(words)


def _citation(card: algorithms.Card) -> str:
    """Authors and number, without the equations."""
    parts = card.labels["Paper"].rstrip(".").split(", ")
    at = next((i for i, part in enumerate(parts) if part.startswith("arXiv:")), None)
    return ", ".join(parts if at is None else parts[: at + 1])


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join(
        "| " + " | ".join(c.replace("|", "\\|") for c in line) + " |" for line in lines
    )


def _dedented(text: str) -> str:
    return "\n".join(line.removeprefix("    ") for line in text.splitlines())


def stale() -> Iterator[Path]:
    """Files that are missing, old, or pages of an algorithm that is gone."""
    wanted = pages()
    for path, text in wanted.items():
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            yield path
    yield from sorted(set(PAGES.glob("*.md")) - set(wanted))


def main() -> None:
    """Write, or with --check look."""
    found = list(stale())
    if "--check" in sys.argv[1:]:
        if found:
            names = ", ".join(str(path.relative_to(ROOT)) for path in found)
            sys.exit(f"Not what the cards say: {names}. Run `make docs`.")
        return
    wanted = pages()
    PAGES.mkdir(parents=True, exist_ok=True)
    for path in found:
        if path in wanted:
            path.write_text(wanted[path], encoding="utf-8")
        else:
            path.unlink()


if __name__ == "__main__":
    main()
