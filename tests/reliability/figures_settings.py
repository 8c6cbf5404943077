"""R17: everything that a recipe may say, said wrongly."""

import math
from collections.abc import Iterator
from typing import Any

from annotated_types import Ge, Gt, Le, Lt

from jumar import algorithms, programs
from jumar.config import AlgorithmConfig, ProgramConfig, parse
from jumar.errors import ConfigurationError
from test_config import TOGETHER

from .settings import kinds, leaves
from .tally import Tally

SMALLEST = {"task": "gym:chain_sum", "algorithm": "owpo"}
VALUES: dict[Any, Any] = {
    int: 3, float: 0.5, str: "word", bool: True, list: ["a"], dict: {"a": 1}, None: None
}  # fmt: skip
TAKES = {  # what each type accepts besides itself
    float: {float, int}, int: {int}, str: {str}, bool: {bool}, tuple: {list}, dict: {dict},
    None: {None}, "literal": set(), Any: set(VALUES),
}  # fmt: skip


def nested(path: str, value: Any) -> dict[str, Any]:
    """`rollout.prompts` as the data of a recipe."""
    group, _, leaf = path.partition(".")
    return {group: {leaf: value} if leaf else value}


def misspelt(name: str) -> str:
    """The last letter stands twice."""
    return f"{name}{name[-1]}"


def beyond(field: Any) -> Iterator[Any]:
    """Values just outside of the range of a field."""
    for limit in field.metadata:
        if isinstance(limit, Ge):
            yield limit.ge - 1
        if isinstance(limit, Gt):
            yield limit.gt
        if isinstance(limit, Le):
            yield limit.le + 1
        if isinstance(limit, Lt):
            yield limit.lt
    if float in kinds(field):
        yield from (math.nan, math.inf)
    if "literal" in kinds(field):
        yield "no such choice"


def abuses() -> Iterator[tuple[str, dict[str, Any], str]]:
    """(what, the data, a word that the refusal has to say) of each."""
    for path, field in leaves().items():
        group, _, leaf = path.rpartition(".")
        wrong = f"{group}.{misspelt(leaf)}" if group else misspelt(leaf)
        yield f"{wrong}, misspelt", nested(wrong, 1), f"`{path}`"
        taken = set().union(*(TAKES[kind] for kind in kinds(field)))
        for kind, value in VALUES.items():
            if kind not in taken and path != "tracker":
                yield f"{path} is {value!r}", nested(path, value), path.split(".")[-1]
        for value in beyond(field):
            yield f"{path} is {value!r}", nested(path, value), path.split(".")[-1]
    for slot, names, choice in (
        ("algorithm", algorithms.names(), AlgorithmConfig),
        ("program", programs.names(), ProgramConfig),
    ):
        for name in names:
            for setting, field in choice.signature(name).model.model_fields.items():
                wrong = {"name": name, misspelt(setting): 1}
                yield f"{slot} {name}.{misspelt(setting)}", {slot: wrong}, f"`{slot}.{setting}`"
                if dict not in kinds(field):
                    value = {"name": name, setting: {"no": "such"}}
                    yield f"{slot} {name}.{setting} is a group", {slot: value}, setting
            yield f"{slot} {misspelt(name)}", {slot: misspelt(name)}, name
    for data, who, _ in TOGETHER:
        yield f"together {data}", data, who


def is_refused(data: dict[str, Any], word: str) -> None:
    """With one message of ours that has the word in it."""
    said = "it was taken"
    try:
        parse({**SMALLEST, **data})
    except ConfigurationError as error:
        said = str(error)
    assert word in said, f"not a word of {word}: {said[:150]}"


def configuration_abuse() -> tuple[int, int, list[str]]:
    """Every setting of a recipe, of every algorithm and of every program: misspelt, of another
    type, out of its range, a number that is none, an unknown choice; and settings that contradict
    each other. It survives where the recipe is refused with the setting's name or the nearest one.
    """
    tally = Tally()
    for what, data, word in abuses():
        tally.attempt(what, lambda data=data, word=word: is_refused(data, word))
    return tally.result


FIGURES = {"R17": configuration_abuse}
