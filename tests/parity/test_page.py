"""The page of hosts says what was measured."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from jumar import algorithms

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "docs" / "results" / "parity").glob("*.json"))


def test_the_page_is_fresh():
    script = ROOT / "scripts" / "parity.py"
    checked = subprocess.run(
        [sys.executable, str(script), "--check"], capture_output=True, text=True
    )
    assert checked.returncode == 0, checked.stderr


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_host_has_a_number_or_a_reason_for_every_algorithm(file):
    cells = json.loads(file.read_text())["cells"]
    assert sorted(cells) == algorithms.names()
    for name, cell in cells.items():
        assert cell.keys() == {"loss", "gradient"} or f"`{name}`" in cell["reason"]
