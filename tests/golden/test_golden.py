"""The loss of a shipped algorithm is part of the interface: it moves only on purpose."""

from collections.abc import Iterator
from typing import Any

import pytest

from jumar import algorithms

from .goldens import golden, stored

MOVED = (
    "The numbers of `{name}` moved ({what}: {was} -> {now}). Whoever trains with it gets another "
    "result from the same recipe. If that is meant, run `make golden` and add an entry under "
    "Numerics in CHANGELOG.md; if not, this change has broken it."
)


def flat(numbers: Any, path: str = "") -> Iterator[tuple[str, float]]:
    match numbers:
        case dict():
            for key, value in numbers.items():
                yield from flat(value, f"{path} {key}".strip())
        case list():
            for i, value in enumerate(numbers):
                yield from flat(value, f"{path}[{i}]")
        case _:
            yield path, numbers


@pytest.mark.parametrize("name", algorithms.names())
def test_the_numbers_of_an_algorithm_move_only_on_purpose(name: str) -> None:
    assert name in stored(), f"`{name}` has no golden numbers yet: run `make golden`."
    was, now = dict(flat(stored()[name])), dict(flat(golden(name)))
    assert was.keys() == now.keys(), f"The golden of `{name}` has other entries: `make golden`."
    for what, value in now.items():
        message = MOVED.format(name=name, what=what, was=was[what], now=value)
        assert value == pytest.approx(was[what], rel=1e-9, abs=1e-15), message


def test_every_golden_belongs_to_an_algorithm() -> None:
    assert sorted(stored()) == algorithms.names(), "Run `make golden` after a removal."
