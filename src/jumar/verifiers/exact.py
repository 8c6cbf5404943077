"""Exact text: the extracted answer equals the gold answer after white space is collapsed."""

from jumar.verifiers.extract import MAX_ANSWER, final_answer
from jumar.verifiers.score import Scorable, Score, Scorer, graded, unparseable


def scorer(*, ignore_case: bool = False) -> Scorer:
    """1 where the answer (after `####`, in the last box, or the whole) is the gold text."""

    def score(response: str, example: Scorable) -> Score:
        answer = final_answer(response, ("hash", "boxed"))
        if answer is None and len(response) <= MAX_ANSWER:
            answer = response.strip()
        if not answer:
            return unparseable()
        right = _plain(answer, ignore_case) == _plain(example.answer, ignore_case)
        return graded(float(right), right, answer)

    return score


def _plain(text: str, ignore_case: bool) -> str:
    text = " ".join(text.split())
    return text.casefold() if ignore_case else text
