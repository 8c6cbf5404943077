"""Reward functions that users write: `module:function` or `path/file.py:function`.

    def reward(response: str, example: dict) -> float | bool | {"score": 0.5, "correct": False}
    def reward(prompts, completions, **columns) -> list[float | None]       # TRL's signature

`example` holds prompt, answer and the metadata; in TRL's signature they are columns, in lists of
one, because each response is scored on its own. A TRL function may return None where it has
nothing to say: beside another verifier it is then left out, alone it is a crash. Every other
value that is no finite number, every wrong type and length and every exception is a crash too,
with the reason, never a silent 0.
"""

import importlib
import importlib.util
import inspect
import math
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from jumar.errors import ConfigurationError
from jumar.verifiers.score import Scorable, Score, Scorer, graded

FULL_MARK = 1.0
LARGEST = 1e9  # rewards are squared in 32 bits; what is larger than this is a mistake
NO_OPINION = "returned None, which is no score"


def scorer(*, target: str) -> Scorer:
    """The scorer around the user's function at `target`."""
    function = load(target)
    name = target.rpartition(":")[2]
    is_trl = _has_trl_signature(function)
    call = _trl_call(function) if is_trl else _own_call(function)

    def score(response: str, example: Scorable) -> Score:
        try:
            returned = call(response, example)
            if returned is None and is_trl:
                return Score(0.0, False, "crashed", None, {}, f"{target}: {NO_OPINION}")
            value, correct = _checked(returned)
        except Exception as error:
            detail = f"{target}: {type(error).__name__}: {error}"
            return Score(0.0, False, "crashed", None, {}, detail[:2000])
        one = graded(value, correct, None)
        return Score(one.score, one.correct, one.status, None, {name: value})

    return score


def load(target: str) -> Callable[..., Any]:
    """The function that `target` names; ConfigurationError where there is none."""
    where, _, name = target.rpartition(":")
    if not where or not name:
        raise ConfigurationError(
            f"{target!r} names a function, and needs a module or a file and its name. "
            "Write package.module:function or path/file.py:function."
        )
    try:
        module = _file_module(where) if where.endswith(".py") else importlib.import_module(where)
        function = getattr(module, name)
    except Exception as error:
        raise ConfigurationError(
            f"{target!r} needs to be importable so that workers can load it, but: "
            f"{type(error).__name__}: {error}. Check the path and the name."
        ) from error
    if not callable(function):
        raise ConfigurationError(
            f"{target!r} needs to be a function, to be called for every response, but it is a "
            f"{type(function).__name__}. Name a function."
        )
    found: Callable[..., Any] = function
    return found


def source(target: str) -> bytes:
    """The content of the file in which the function stands; empty where there is none to read."""
    where = target.rpartition(":")[0]
    spec = None if where.endswith(".py") else importlib.util.find_spec(where)
    file = Path(where if spec is None else spec.origin or where).expanduser()
    return file.read_bytes() if file.is_file() else b""


def _file_module(path: str) -> Any:
    file = Path(path).expanduser().resolve()
    name = f"jumar_user_{file.stem}"
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None or not file.is_file():
        raise FileNotFoundError(f"no such file: {file}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pickling inside the file look it up
    spec.loader.exec_module(module)
    return module


def _has_trl_signature(function: Callable[..., Any]) -> bool:
    return "completions" in inspect.signature(function).parameters


def _own_call(function: Callable[..., Any]) -> Callable[[str, Scorable], Any]:
    def call(response: str, example: Scorable) -> Any:
        given = {**example.metadata, "prompt": example.prompt, "answer": example.answer}
        return function(response, given)

    return call


def _trl_call(function: Callable[..., Any]) -> Callable[[str, Scorable], Any]:
    parameters = inspect.signature(function).parameters
    takes_all = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())

    def call(response: str, example: Scorable) -> Any:
        columns = {**example.metadata, "answer": example.answer}
        given = {key: [value] for key, value in columns.items()}
        given |= {"prompts": [example.prompt], "completions": [response]}
        chosen = {k: v for k, v in given.items() if takes_all or k in parameters}
        values = function(**chosen)
        if not isinstance(values, list | tuple):
            raise TypeError(f"returned {type(values).__name__}, not a list")
        if len(values) != 1:
            raise ValueError(f"returned {len(values)} values for 1 response")
        return values[0]

    return call


def _checked(value: Any) -> tuple[float, bool]:
    """(score, correct) of a returned value; raises where it is not one finite number."""
    if isinstance(value, Mapping):
        if "score" not in value:
            raise ValueError(f"returned a dict without 'score': {sorted(map(str, value))}")
        score, correct = _checked(value["score"])
        stated = value.get("correct", correct)
        if not isinstance(stated, bool):
            raise TypeError(f"returned 'correct' of type {type(stated).__name__}, not bool")
        return score, stated
    if hasattr(value, "item") and not isinstance(value, str):  # numpy and torch scalars
        value = value.item()
    if isinstance(value, bool):
        return float(value), value
    if not isinstance(value, int | float):
        raise TypeError(f"returned {type(value).__name__}, not a number")
    score = float(value)
    if not math.isfinite(score):
        raise ValueError(f"returned {score}, not a finite number")
    if abs(score) > LARGEST:
        raise ValueError(f"returned {score}, more than {LARGEST:.0f}")
    return score + 0.0, score >= FULL_MARK  # -0.0 becomes 0.0
