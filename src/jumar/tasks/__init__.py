"""Tasks: prompts with gold answers in three splits, and the verifier that marks responses.

tasks.get("gym:chain_sum?min_terms=2&max_terms=3")
tasks.get("gsm8k?train=train.jsonl&test=test.jsonl")
tasks.get("file:questions.jsonl?verifier=math")
tasks.get("my_package.tasks:arithmetic")
"""

from jumar.errors import ConfigurationError, nearest
from jumar.tasks.spec import parsed
from jumar.tasks.task import Example, PromptTemplate, Task

__all__ = ["Example", "PromptTemplate", "Task", "catalogue", "get"]


def get(spec: str) -> Task:
    """The task that `spec` names: gym:NAME, gsm8k, math, file:PATH.jsonl or module:function."""
    head, options = parsed(spec)
    scheme, colon, rest = head.partition(":")
    if colon and scheme == "gym":
        from jumar.tasks.reasoning_gym import gym_task

        return gym_task(rest, options)
    if head == "gsm8k":
        from jumar.tasks.gsm8k import gsm8k_task

        return gsm8k_task(options)
    if head == "math":
        from jumar.tasks.math import math_task

        return math_task(options)
    if colon and scheme == "file":
        from jumar.tasks.files import file_task

        return file_task(rest, options)
    if colon:
        from jumar.tasks.functions import function_task

        return function_task(head, options)
    known = ["gsm8k", "math", "gym:NAME", "file:PATH.jsonl", "module:function"]
    raise ConfigurationError(
        f"The task {spec!r} is not known, and a run needs one, to have prompts and a verifier. "
        f"{nearest(head, ['gsm8k', 'math', 'gym:' + head])} "
        f"A task is one of: {', '.join(known)}."
    )


def catalogue() -> list[tuple[str, str]]:
    """(spec, one line about it) for every task that can be named, gym datasets included."""
    from jumar.tasks.reasoning_gym import names
    from jumar.verifiers.gym_scorers import REFUSED, REPLACED

    fixed = [
        ("gsm8k", "grade-school word problems, exact rational answers"),
        ("math", "competition mathematics, boxed LaTeX answers"),
        ("file:PATH.jsonl", "your own rows: prompt, answer and ?verifier=..."),
        ("module:function", "your own function that returns a Task or rows"),
    ]
    gym = [
        (
            f"gym:{name}",
            f"refused: {REFUSED[name]}"
            if name in REFUSED
            else f"reasoning-gym, scored by {'jumar' if name in REPLACED else 'the dataset'}",
        )
        for name in names()
    ]
    return fixed + gym
