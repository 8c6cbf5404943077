"""Stored rows for the methods that learn from such: worked sums with the base's own mistakes.

They come from where the base comes from, are marked right or wrong by their totals, and say nothing
that the others could not sample themselves.
"""

import random
from collections.abc import Callable
from dataclasses import replace

from jumar import tasks
from jumar.engines.local.tiny import EMBEDDED, demonstration
from jumar.tasks.task import Example, Task

Filled = Callable[[Example, str | None, str | None], Example]
DRAWS = 8  # for each prompt: as many as the others have responses


def demonstrations() -> Task:
    """The embedded task with a right response to each training prompt of `pairs`."""
    return _with(lambda example, right, wrong: replace(example, response=right))


def pairs() -> Task:
    """The embedded task with a right and a wrong response to each prompt that got both."""
    return _with(lambda example, right, wrong: replace(example, chosen=right, rejected=wrong))


def _with(filled: Filled) -> Task:
    task = tasks.get(EMBEDDED)
    rows = [(e, *_drawn(e)) for e in task.train]
    given = [filled(e, right, wrong) for e, right, wrong in rows if right and wrong]
    return replace(task, train=given)


def _drawn(example: Example) -> tuple[str | None, str | None]:
    """The first right and the first wrong one, of those drawn for a prompt."""
    draw = random.Random(example.prompt_id)
    found: dict[bool, str] = {}
    for _ in range(DRAWS):
        text = demonstration(example, draw)
        found.setdefault(text.endswith(f"#### {example.answer}"), text)
    return found.get(True), found.get(False)
