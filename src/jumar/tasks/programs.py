"""Rows whose answer is a list of tests that a program has to pass, and the limits it has."""

import json
from collections.abc import Mapping
from typing import Any

from jumar.errors import ConfigurationError, DataError
from jumar.tasks.rows import Row
from jumar.verifiers.program_tests import read_tests
from jumar.verifiers.sandbox import BY_NAME

LIMITS = ("cpu_seconds", "wall_seconds", "memory_mb", BY_NAME)
SOLUTION = "solution"  # the column with a program that passes, for `jumar check`


def tests_of(row: Row, column: str, where: str) -> str:
    """The tests in the column, as the JSON text that the verifier reads."""
    found = json.dumps(row.get(column))
    try:
        read_tests(found)
    except ValueError as error:
        raise DataError(
            f"{where} needs tests in the column {column!r}, because programs are judged by them, "
            f'but {error}. Write [{{"call": "add", "arguments": [1, 2], "returns": 3}}] or '
            '[{"stdin": "1 2", "stdout": "3"}].'
        ) from error
    return found


def limits(spec: str, options: Mapping[str, str]) -> dict[str, Any]:
    """The options of the verifier `code` among those of the task."""
    try:
        return {
            name: _boolean(options[name]) if name == BY_NAME else _number(options[name])
            for name in LIMITS
            if name in options
        }
    except ValueError as error:
        raise ConfigurationError(
            f"The task {spec!r} needs numbers for {', '.join(LIMITS[:-1])} and true or false for "
            f"{BY_NAME}, to limit programs, but {error}. Correct it."
        ) from error


def _number(text: str) -> float:
    return int(text) if text.isdecimal() else float(text)


def _boolean(text: str) -> bool:
    if text not in ("true", "false"):
        raise ValueError(f"{text!r} is neither")
    return text == "true"
