"""What was measured on a host, as committed JSON; `scripts/parity.py` makes the page of it.

A host is a module of this folder with `theirs(algorithm, case, folder) -> Found`, which raises
ConfigurationError for what the host cannot train, and ABOUT: its name on the page, its package, and
in one sentence what was run.
"""

import json
import tempfile
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

from jumar import algorithms
from jumar.errors import ConfigurationError

from .case import algorithm, case, difference, ours

FOLDER = Path(__file__).parents[2] / "docs" / "results" / "parity"
HOSTS = ("local", "trl", "verl")


@dataclass(frozen=True, kw_only=True)
class About:
    """A host on the page."""

    name: str
    packages: tuple[str, ...]  # whose versions are recorded
    ran: str
    tolerance: float  # of both differences


def host(name: str) -> Any:
    """The module of a host, which may need an environment of its own."""
    return import_module(f".{name}_host", __package__)


def cell(name: str, where: Any) -> dict[str, Any]:
    """The differences of one algorithm between a host and our own engine, or why there are none."""
    record, fixed = algorithm(name), case()
    try:
        with tempfile.TemporaryDirectory() as folder:
            found = where.theirs(record, fixed, Path(folder))
    except ConfigurationError as error:
        return {"reason": str(error)}
    return difference(ours(record, fixed), found)._asdict()


def write(name: str) -> None:
    """Measure every algorithm on a host."""
    where = host(name)
    about: About = where.ABOUT
    record = {
        "host": about.name,
        "ran": about.ran,
        "versions": {package: version(package) for package in about.packages},
        "tolerance": about.tolerance,
        "cells": {algorithm: cell(algorithm, where) for algorithm in algorithms.names()},
    }
    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / f"{name}.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def stored(name: str) -> dict[str, Any]:
    """What is in the repository."""
    found: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    return found


def check(name: str, algorithm: str) -> None:
    """Assert that a host still gives what the page says of an algorithm."""
    record, now = stored(name), cell(algorithm, host(name))
    then = record["cells"][algorithm]
    if "reason" in then:
        assert now == then
    else:
        assert max(now.values()) <= record["tolerance"], now
        assert max(then.values()) <= record["tolerance"]
