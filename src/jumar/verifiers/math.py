"""MATH-style answers: the last box, else `####`, else the last number if the gold is one."""

from jumar.verifiers.extract import final_answer, new_number
from jumar.verifiers.latex import same_answer
from jumar.verifiers.rational import number
from jumar.verifiers.score import Scorable, Score, Scorer, graded, unparseable


def scorer() -> Scorer:
    """1 where the answer is the gold's number, or says the same after normalisation."""

    def score(response: str, example: Scorable) -> Score:
        answer = final_answer(response, ("boxed", "hash"))
        if answer is None and number(example.answer) is not None:
            answer = new_number(response, example.prompt)
        if answer is None:
            return unparseable()
        right = same_answer(answer, example.answer)
        return graded(float(right), right, answer)

    return score
