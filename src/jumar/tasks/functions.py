"""`module:function` or `path/file.py:function`: a function that returns a Task or rows.

    def arithmetic(size: int = 100):
        for i in range(size):
            yield {"prompt": f"{i} + 1 =", "answer": str(i + 1)}

Options of the spec become keyword arguments, as text unless the parameter is annotated int, float
or bool. Rows are dicts with the fields of Example; `verifier=` names how answers are marked
(exact).
"""

import inspect
import typing
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from jumar.errors import ConfigurationError, DataError
from jumar.tasks.rows import STORED, reward, text
from jumar.tasks.spec import canonical, refuse_unknown
from jumar.tasks.task import Example, Task, split_by_hash, without_repeats
from jumar.verifiers.jsonable import to_json
from jumar.verifiers.reward_function import load
from jumar.verifiers.score import VerifierSpec

VALIDATION, TEST = 0.15, 0.15
_FIELDS = ("prompt", "answer", "metadata", "reward", *STORED)


def function_task(target: str, options: Mapping[str, str]) -> Task:
    """The Task that the function returns, or one made of its rows, split 70/15/15 by hash."""
    function = load(target)
    given = {key: value for key, value in options.items() if key != "verifier"}
    made = function(**_arguments(target, function, given))
    if isinstance(made, Task):
        return made
    if isinstance(made, str | Mapping) or not isinstance(made, Iterable):
        raise DataError(
            f"{target!r} needs to return a Task or rows, to be a task, but it returned a "
            f"{type(made).__name__}. Return a Task, or dicts with prompt and answer."
        )
    examples = [_example(target, at, row) for at, row in enumerate(made)]
    splits = split_by_hash(without_repeats(examples), validation=VALIDATION, test=TEST)
    train, validation, test = splits
    verifier = _verifier(options.get("verifier", "exact"))
    name = canonical(target, options)
    return Task(name=name, train=train, validation=validation, test=test, verifier=verifier)


def _verifier(name: str) -> VerifierSpec:
    return VerifierSpec("function", {"target": name}) if ":" in name else VerifierSpec(name)


def _arguments(
    target: str, function: Callable[..., Any], options: Mapping[str, str]
) -> dict[str, Any]:
    parameters = inspect.signature(function).parameters
    refuse_unknown(target, options, parameters)
    hints = typing.get_type_hints(function)
    arguments: dict[str, Any] = {}
    for key, value in options.items():
        kind = hints.get(key, str)
        try:
            arguments[key] = _typed(value, kind)
        except ValueError as error:
            raise ConfigurationError(
                f"{target!r} was given {key}={value}, and it needs {kind.__name__}, because the "
                f"function says so: {error}. Correct the value."
            ) from error
    return arguments


def _typed(value: str, kind: Any) -> Any:
    if kind is bool:
        if value.lower() not in ("true", "false"):
            raise ValueError(f"{value!r} is neither true nor false")
        return value.lower() == "true"
    return kind(value) if kind in (int, float) else value


def _example(target: str, at: int, row: Any) -> Example:
    if isinstance(row, Example):
        return row
    if not isinstance(row, Mapping) or not isinstance(row.get("prompt"), str):
        raise DataError(
            f"{target!r} needs every row to be a dict with a text 'prompt', because it is what the "
            f"model is asked, but row {at} is {row!r:.80}. Return dicts or Examples."
        )
    where = f"{target!r}, row {at},"
    others = {key: value for key, value in row.items() if key not in _FIELDS}
    return Example(
        prompt=text(row, "prompt", where),
        answer=str(row.get("answer", "")),
        metadata=to_json({**others, **row.get("metadata", {})}),
        reward=reward(row, where),
        **{name: text(row, name, where) for name in STORED if row.get(name) is not None},
    )
