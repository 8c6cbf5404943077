import os
from collections.abc import Callable
from typing import Any

import pytest

from .peers import Agreement

# versions are pinned here, so what its experimental part may change cannot change under us
os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")


@pytest.fixture
def agree(record_property: Callable[[str, object], None]) -> Agreement:
    return Agreement(record_property)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """The table of algorithms and peers, with the largest distances found."""
    passed = terminalreporter.stats.get("passed", [])
    rows = [v for r in passed for k, v in r.user_properties if k == "agreement"]
    if not rows:
        return
    terminalreporter.section("equivalence in float64")
    for what, loss, gradient in sorted(map(tuple, rows), key=lambda row: row[0]):
        kind = "value" if gradient is None else "loss"
        numbers = [(kind, loss), ("gradient", gradient)]
        distances = [f"|d {kind}| {d:.1e}" if d is not None else "" for kind, d in numbers]
        terminalreporter.line(f"{what:66} {distances[0]:18} {distances[1]}")
