r"""Tests of programs, as JSON: what goes in, which a program may see, and what has to come out.

    {"call": "add", "arguments": [1, 2], "returns": 3}
    {"stdin": "1 2\n", "stdout": "3\n"}

Values are compared as JSON, after a program has ended and outside its sandbox: an object that calls
itself equal to everything is no JSON value.
"""

import json
import math
from typing import Any, NamedTuple

_TOLERANCE = 1e-9  # relative and absolute, where a float is expected


class Call(NamedTuple):
    """A function of the program, its arguments, and the JSON value to be returned."""

    function: str
    arguments: list[Any]
    returns: Any


class Program(NamedTuple):
    """Text for the standard input of the program, and what it should print."""

    stdin: str
    stdout: str


def read_tests(text: str) -> list[Call | Program]:
    """The tests in `text`, a JSON list; ValueError says what is wrong with which."""
    rows = json.loads(text)
    if not isinstance(rows, list) or not rows:
        raise ValueError("tests are a list of one or more")
    return [_test(row, at) for at, row in enumerate(rows, 1)]


def _test(row: Any, at: int) -> Call | Program:
    match row:
        case {"call": str(name), "arguments": list(arguments), "returns": value, **others}:
            found: Call | Program = Call(name, arguments, value)
        case {"stdin": str(given), "stdout": str(printed), **others}:
            found = Program(given, printed)
        case _:
            raise ValueError(
                f"test {at} has neither call, arguments and returns nor stdin and stdout"
            )
    if others:
        raise ValueError(f"test {at} has unknown keys: {', '.join(map(str, others))}")
    return found


def same_json(told: str, expected: Any) -> bool:
    """The hostile text `told` is JSON for the value `expected`."""
    try:
        return _same(json.loads(told, parse_constant=_refuse), expected)
    except (ValueError, RecursionError):
        return False


def same_text(printed: str, expected: str) -> bool:
    """The same lines, but for white space at their ends and blank lines at the end."""
    return _lines(printed) == _lines(expected)


def _same(found: Any, expected: Any) -> bool:
    if isinstance(expected, dict):
        return (
            isinstance(found, dict)
            and found.keys() == expected.keys()
            and all(_same(found[key], value) for key, value in expected.items())
        )
    if isinstance(expected, list):
        return (
            isinstance(found, list)
            and len(found) == len(expected)
            and all(map(_same, found, expected))
        )
    if isinstance(found, bool) or isinstance(expected, bool) or found is None:
        return found is expected
    if isinstance(expected, float) and isinstance(found, int | float):
        near = isinstance(found, float) or abs(found) < 2**1000  # more than that is no float
        return near and math.isclose(found, expected, rel_tol=_TOLERANCE, abs_tol=_TOLERANCE)
    return bool(found == expected)


def _lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.rstrip().split("\n")]


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")
