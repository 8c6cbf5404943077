"""reasoning-gym datasets: the dataset's own score, or ours where that one is unsafe.

The response is never scored whole, only the extracted answer. `correct` means the full mark:
exactly 1; reasoning-gym gives partial credit too, which stays in `score`.
"""

import os
from collections.abc import Mapping
from contextlib import redirect_stdout
from dataclasses import replace
from typing import Any

from jumar.errors import ConfigurationError
from jumar.verifiers.extract import boxed_answer, hash_answer
from jumar.verifiers.gym_scorers import REFUSED, REPLACED, Entry, GymScorer
from jumar.verifiers.jsonable import from_json
from jumar.verifiers.rational import number
from jumar.verifiers.score import Scorable, Score, Scorer, graded, unparseable

FULL_MARK = 1.0
# some of the package's scorers raise on answers in another form, instead of giving no marks
_UNREADABLE = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError)


def scorer(
    *, dataset: str, parameters: Mapping[str, Any] | None = None, multiline: bool = False
) -> Scorer:
    """The scorer of one dataset; `multiline` where answers are boards and the like."""
    mark = own_scorer(dataset) or _package_scorer(dataset, parameters or {})

    def score(response: str, example: Scorable) -> Score:
        answer = hash_answer(response, multiline=multiline)
        if answer is None:
            answer = boxed_answer(response)
        if answer is None:
            return unparseable()
        entry = {
            "question": example.prompt,
            "answer": example.answer,
            "metadata": from_json(example.metadata),
        }
        try:
            value = float(mark(answer, entry))
        except _UNREADABLE as error:
            reason = f"{type(error).__name__}: {error}"[:200]
            return replace(unparseable(f"{dataset} cannot read it: {reason}"), extracted=answer)
        if not 0.0 <= value <= FULL_MARK:  # also where it is not a number
            return Score(0.0, False, "crashed", answer, {}, f"{dataset} scored {value}")
        if value == FULL_MARK and number(example.answer) and not number(answer):
            # the package drops commas, and reads 7e0 and the digits of every script
            return replace(unparseable("the answer is not one number"), extracted=answer)
        return graded(value, value == FULL_MARK, answer)

    return score


def own_scorer(dataset: str) -> GymScorer | None:
    """Our replacement for the dataset's scorer, None where the package's is used; or a refusal."""
    if dataset in REFUSED:
        raise ConfigurationError(
            f"gym:{dataset} needs a scorer that is safe to give model text to, and has none: "
            f"{REFUSED[dataset]}. Choose another dataset; `jumar list tasks` names them."
        )
    return REPLACED.get(dataset)


def _package_scorer(dataset: str, parameters: Mapping[str, Any]) -> GymScorer:
    import reasoning_gym

    try:
        instance = reasoning_gym.create_dataset(dataset, **from_json(dict(parameters)))
    except ValueError as error:
        raise ConfigurationError(
            f"gym:{dataset} needs a reasoning-gym dataset of that name, to score with it, but: "
            f"{error}. `jumar list tasks` names them."
        ) from error

    def package_score(answer: str, entry: Entry) -> float:
        # tower_of_hanoi and others print what they think of an answer
        with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere):
            return float(instance.score_answer(answer, entry))

    return package_score
