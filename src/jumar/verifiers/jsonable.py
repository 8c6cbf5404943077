"""Plain JSON for values that JSON does not have, and back: tuples, sets, keys that are no strings.

reasoning-gym's scorers compare tuples and look up integer keys, so a lossy trip over a pipe would
change scores.
"""

from collections.abc import Mapping
from enum import Enum
from typing import Any

_TUPLE, _SET, _ITEMS = "__tuple__", "__set__", "__items__"


def to_json(value: Any) -> Any:
    """`value` as dicts, lists, strings, numbers, booleans and None; `from_json` gives it back."""
    if isinstance(value, Enum):
        return to_json(value.value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping):
        if all(isinstance(key, str) for key in value):
            return {str(key): to_json(item) for key, item in value.items()}
        return {_ITEMS: [[to_json(key), to_json(item)] for key, item in value.items()]}
    if isinstance(value, tuple):
        return {_TUPLE: [to_json(item) for item in value]}
    if isinstance(value, set | frozenset):
        return {_SET: sorted((to_json(item) for item in value), key=repr)}
    if isinstance(value, list):
        return [to_json(item) for item in value]
    if hasattr(value, "tolist"):  # numpy scalars and arrays
        return to_json(value.tolist())
    return str(value)


def from_json(value: Any) -> Any:
    """The value that `to_json` was given (arrays come back as lists, enums as their values)."""
    if isinstance(value, list):
        return [from_json(item) for item in value]
    if not isinstance(value, Mapping):
        return value
    if len(value) == 1:
        (key, items), *_ = value.items()
        if key == _TUPLE:
            return tuple(from_json(item) for item in items)
        if key == _SET:
            return {from_json(item) for item in items}
        if key == _ITEMS:
            return {from_json(k): from_json(item) for k, item in items}
    return {key: from_json(item) for key, item in value.items()}
