"""A part of every figure, and what makes `make reliability` fail."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from .records import NAMES, fallen, figures
from .settings import CHANGED, SEEN_BY, leaves
from .tally import Tally
from .waits import ENDED, sources, waits

TESTS = Path(__file__).parents[1]


def record(tried: int, survived: int, *notes: str) -> dict:
    return {"figure": "R2", "tried": tried, "survived": survived, "notes": list(notes)}


def test_a_figure_falls_when_less_is_tried_or_something_does_not_survive():
    assert fallen(record(9, 9), None) == []
    assert fallen(record(9, 9), record(9, 9)) == []
    assert fallen(record(9, 8, "one file"), None) == ["R2: 8 of 9 survived. Not: one file."]
    assert fallen(record(8, 8), record(9, 9)) == ["R2 tried 8, and 9 when it was committed."]


def test_a_tally_counts_what_raises_and_says_what_it_was():
    tally = Tally()
    tally.attempt("fine", lambda: None)
    tally.attempt("not fine", lambda: 1 / 0)
    assert tally.result == (2, 1, ["not fine: division by zero"])


def test_every_figure_is_of_the_list_and_says_what_it_is():
    found = figures()
    assert found.keys() <= NAMES.keys()
    assert all((figure.__doc__ or "").strip().endswith(".") for figure in found.values())


FEW = {"R9": 50, "R11": 1, "R13": 20, "R17": 10}  # one of so many attempts, in this process
FORKED = {
    "R1": 60,
    "R2": 120,
    "R3": 60,
    "R12": 2,
    "R16": 2,
    "R18": 60,
}  # in a process that nothing else runs in


@pytest.mark.parametrize("name", FEW)
def test_a_part_of_a_figure_survives(name, monkeypatch):
    monkeypatch.setattr(Tally, "every", FEW[name])
    tried, survived, notes = figures()[name]()
    assert notes == []
    assert tried == survived > 0


@pytest.mark.slow
@pytest.mark.parametrize("name", FORKED)
def test_a_part_of_a_figure_survives_in_a_process_of_its_own(name):
    command = ["-W", "ignore", "-m", "reliability", name, "--every", str(FORKED[name])]
    ran = subprocess.run(
        [sys.executable, *command], cwd=TESTS, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr[-2000:]


def test_every_wait_has_a_deadline_or_is_ended_by_what_the_table_says():
    found = {wait for file in sources() for wait in waits(file)}
    assert found == ENDED.keys(), "a wait without a deadline, or an entry that has none"


def test_every_setting_has_an_effect_that_a_test_sees():
    assert CHANGED.keys() | SEEN_BY.keys() == leaves().keys()
    assert not CHANGED.keys() & SEEN_BY.keys()
    named = {
        node.name
        for file in TESTS.rglob("test_*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef)
    }
    assert set(SEEN_BY.values()) <= named, set(SEEN_BY.values()) - named
