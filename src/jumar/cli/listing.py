"""`jumar list`: rows with a name and a description, more in JSON. Nothing here imports torch."""

from typing import Any

from jumar.errors import ConfigurationError, nearest


def listing(what: str) -> list[dict[str, Any]]:
    """JSON-able rows about all algorithms, programs, tasks or recipes."""
    kinds = {
        "algorithms": _algorithms,
        "programs": _programs,
        "tasks": _tasks,
        "recipes": _recipes,
    }
    if what not in kinds:
        raise ConfigurationError(
            f"`jumar list` got {what!r}, but needs one of {', '.join(kinds)}, to be of use. "
            f"{nearest(what, kinds)}"
        )
    return kinds[what]()


def _algorithms() -> list[dict[str, Any]]:
    from jumar import algorithms

    rows = []
    for card in map(algorithms.card, algorithms.names()):
        also = f" (also called {', '.join(card.aliases)})" if card.aliases else ""
        needs = f" (needs {', '.join(card.needs)}, which no engine gives yet)" if card.needs else ""
        rows.append(
            {
                "name": card.name,
                "description": card.idea + also + needs,
                "title": card.title,
                "also_called": card.aliases,
                "changes": card.changes,
                "needs": card.needs,
                "paper": card.labels["Paper"],
                "settings": dict(card.settings),
            }
        )
    return rows


def _programs() -> list[dict[str, Any]]:
    from jumar import programs

    return [
        {
            "name": card.name,
            "description": card.idea,
            "title": card.title,
            "settings": dict(card.settings),
        }
        for card in map(programs.card, programs.names())
    ]


def _tasks() -> list[dict[str, Any]]:
    from jumar import tasks

    return [{"name": name, "description": line} for name, line in tasks.catalogue()]


def _recipes() -> list[dict[str, Any]]:
    from jumar import recipes

    return [
        {"name": name, "description": recipes.description(name), "file": str(recipes.path(name))}
        for name in recipes.names()
    ]
