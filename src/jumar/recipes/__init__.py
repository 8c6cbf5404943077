"""Runs to start from: one YAML file each, whose first line says what it trains."""

from pathlib import Path as _Path

_FOLDER = _Path(__file__).parent


def names() -> list[str]:
    """Every bundled recipe, sorted."""
    return sorted(file.stem for file in _FOLDER.glob("*.yaml"))


def path(name: str) -> _Path:
    """The file of a bundled recipe."""
    return _FOLDER / f"{name}.yaml"


def description(name: str) -> str:
    """The comment in its first line."""
    first, _, _ = path(name).read_text(encoding="utf-8").partition("\n")
    return first.lstrip("# ")
