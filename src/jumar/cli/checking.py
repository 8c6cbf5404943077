"""`jumar check`: what a task's verifier accepts."""

from dataclasses import replace
from importlib.util import find_spec
from typing import Any

import typer

from jumar import tasks
from jumar.cli.output import NoMarkup
from jumar.tasks.check import CheckResult, check

NOT_SOUND = 1


def check_and_print(spec: str, split: str, limit: int | None) -> None:
    """Print the counts; exit code 1 where the verifier is not sound on this task."""
    task = tasks.get(spec)
    fewer: Any = {split: task.split(split)[:limit]}
    task = replace(task, **fewer)
    mathematical = task.verifier.kind in ("gsm8k", "math")
    second = mathematical and find_spec("math_verify") is not None
    found = check(task, split, second_opinion=second)
    NoMarkup().print(verdict(found))
    if not found.passed:
        raise typer.Exit(NOT_SOUND)


def verdict(found: CheckResult) -> str:
    """The counts as text, with the first offenders."""
    lines = [
        f"{found.task}, {found.split} split, {found.examples} examples",
        f"gold answers       accepted {found.gold_accepted} of {found.examples}",
        f"others' gold       accepted {found.shuffled_accepted} of {found.shuffled}; "
        f"equal to the row's own: {found.shuffled_equal}",
        f"empty answers      accepted {found.empty_accepted}",
    ]
    if found.unstable:
        lines.append(f"scored again       {found.unstable} gold answers got another score")
    if found.solutions:
        count = f"accepted {found.solutions_accepted} of {found.solutions}"
        lines.append(f"written solutions  {count}")
    if found.disagreements is not None:
        lines.append(f"math-verify        disagrees on {found.disagreements}; it changes no score")
    lines += [f"  rejected gold: {one}" for one in found.rejected_gold]
    lines += [f"  wrongly accepted: {one}" for one in found.accepted_shuffled]
    end = "is sound here" if found.passed else "is not sound here: do not train on it"
    return "\n".join([*lines, f"The verifier {end}."])
