"""What was measured, as committed JSON, and where and with what it was."""

import json
import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
STORE = ROOT / "docs" / "results" / "performance"
PAGE = ROOT / "docs" / "results" / "performance.md"
PICTURE = ROOT / "docs" / "results" / "performance.png"
OWN = tuple(str(path.relative_to(ROOT)) for path in (STORE, PAGE, PICTURE))


def stored(name: str) -> dict[str, Any] | None:
    """A case as it was measured, or None."""
    file = STORE / f"{name}.json"
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None


def keep(name: str, found: dict[str, Any]) -> None:
    """Write a case down."""
    STORE.mkdir(parents=True, exist_ok=True)
    text = json.dumps(found, indent=1)
    (STORE / f"{name}.json").write_text(text + "\n", encoding="utf-8")


def made() -> dict[str, str]:
    """The commit, the versions and the machine."""
    packages = ("torch", "transformers", "trl", "accelerate")
    return {
        "commit": _git("rev-parse", "--short", "HEAD"),
        "python": platform.python_version(),
        **{name: version(name) for name in packages},
        "machine": f"{platform.machine()}, {_processor()}, {os.cpu_count()} cores",
    }


def changed() -> list[str]:
    """Files that are not as committed, but for what is written here."""
    lines = _git("status", "--porcelain", "--untracked-files=all").splitlines()
    return [line for line in lines if not line.split()[-1].startswith(OWN)]


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()
