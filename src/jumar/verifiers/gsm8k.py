"""GSM8K: the answer after `####`, else the last box, else the last number; compared exactly."""

from jumar.verifiers.extract import final_answer, new_number
from jumar.verifiers.rational import number
from jumar.verifiers.score import Scorable, Score, Scorer, graded, unparseable


def scorer(*, last_number: bool = True) -> Scorer:
    """1 where the answer is the gold number. `last_number=False` asks for a marked answer."""

    def score(response: str, example: Scorable) -> Score:
        answer = final_answer(response)
        if answer is None and last_number:
            answer = new_number(response, example.prompt)
        if answer is None:
            return unparseable()
        value = number(answer)
        if value is None:
            return unparseable("the answer is not one number")
        right = value == number(example.answer)
        return graded(float(right), right, answer)

    return score
