"""Generated pages say what the cards say."""

import subprocess
import sys
from pathlib import Path

from jumar import algorithms

ROOT = Path(__file__).parent.parent


def docs(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "scripts" / "docs.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_generated_pages_are_fresh() -> None:
    checked = docs("--check")
    assert checked.returncode == 0, checked.stderr


def test_every_algorithm_has_a_page_and_a_row() -> None:
    table = (ROOT / "README.md").read_text(encoding="utf-8")
    for name in algorithms.names():
        page = (ROOT / "docs" / "algorithms" / f"{name}.md").read_text(encoding="utf-8")
        card = algorithms.card(name)
        assert f"# {card.title}" in page
        assert all(f"| `{setting}` |" in page for setting in card.settings)
        assert f"(docs/algorithms/{name}.md)" in table
