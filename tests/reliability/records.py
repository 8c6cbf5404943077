"""The figures R1 to R18, and what was measured of them, as committed JSON.

A figure is a function of `figures_*.py` that is listed in its file's FIGURES: {"R1": function}. It
returns (tried, survived, what did not survive), and its docstring is the definition on the page.
"""

import json
import os
import platform
import subprocess
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
FOLDER = Path("docs", "results", "reliability")
MEASURED = "src", "tests"  # what decides a figure
NAMES = {
    "R1": "bit-exact resume",
    "R2": "crash points survived",
    "R3": "corrupt checkpoints refused",
    "R4": "hostile answers",
    "R5": "verifier accuracy",
    "R6": "reward faults",
    "R7": "sandbox escapes",
    "R8": "injection sinks",
    "R9": "finite gradients",
    "R10": "split invariance",
    "R11": "cross-runtime parity",
    "R12": "stale-weights detection",
    "R13": "tied-group exactness",
    "R14": "token identity",
    "R15": "dead dependencies",
    "R16": "deadline coverage",
    "R17": "configuration abuse",
    "R18": "disk full, read-only, permission",
}
Figure = Callable[[], tuple[int, int, list[str]]]
Record = dict[str, Any]


def figures() -> dict[str, Figure]:
    """Every figure that is there, in the order of the page."""
    found: dict[str, Figure] = {}
    for file in sorted(Path(__file__).parent.glob("figures_*.py")):
        found |= import_module(f".{file.stem}", __package__).FIGURES
    return {name: found[name] for name in NAMES if name in found}


def measured(name: str, figure: Figure) -> Record:
    """Run one figure."""
    tried, survived, notes = figure()
    return {
        "figure": name,
        "name": NAMES[name],
        "definition": " ".join((figure.__doc__ or "").split()),
        "tried": tried,
        "survived": survived,
        "notes": notes,
        "commit": _git("rev-parse", "--short=7", "HEAD"),
        "state": state(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "versions": {
            "python": platform.python_version(),
            **{package: version(package) for package in ("torch", "transformers", "safetensors")},
        },
    }


def fallen(record: Record, committed: Record | None) -> list[str]:
    """What is worse than promised, as sentences."""
    name, tried = record["figure"], record["tried"]
    wrong = []
    if record["survived"] < tried:
        wrong.append(
            f"{name}: {record['survived']} of {tried} survived. Not: {', '.join(record['notes'])}."
        )
    if committed is not None and tried < committed["tried"]:
        wrong.append(f"{name} tried {tried}, and {committed['tried']} when it was committed.")
    return wrong


def state() -> str | None:
    """The trees that decide a figure, as they are committed; None where files differ from them."""
    if _git("status", "--porcelain", "--", *MEASURED):
        return None
    return " ".join(_git("rev-parse", "--short=12", f"HEAD:{tree}") for tree in MEASURED)


def committed(name: str) -> Record | None:
    """The record of the last commit; None where it has none."""
    shown = subprocess.run(
        ["git", "show", f"HEAD:{FOLDER / name}.json"], cwd=ROOT, capture_output=True, check=False
    )
    return json.loads(shown.stdout) if shown.returncode == 0 else None


def stored(name: str) -> Record | None:
    """The record in the working tree."""
    file = ROOT / FOLDER / f"{name}.json"
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None


def write(record: Record) -> None:
    """Keep a record for the page."""
    (ROOT / FOLDER).mkdir(parents=True, exist_ok=True)
    text = json.dumps(record, indent=1) + "\n"
    (ROOT / FOLDER / f"{record['figure']}.json").write_text(text, encoding="utf-8")


def _git(*arguments: str) -> str:
    return subprocess.run(
        ["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.strip()
