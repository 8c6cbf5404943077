"""`math`: competition mathematics; the gold is the `answer` column or the solution's last box."""

from collections.abc import Mapping

from jumar.errors import DataError
from jumar.tasks.fixed import Benchmark, benchmark_task
from jumar.tasks.rows import Row, text
from jumar.tasks.task import Example, PromptTemplate, Task
from jumar.verifiers.extract import boxed_answer
from jumar.verifiers.score import VerifierSpec

_PROMPTS = ("problem", "question", "prompt")


def math_task(options: Mapping[str, str]) -> Task:
    """MATH from files (?train=&test= or ?path=), $JUMAR_MATH, or the hub."""
    return benchmark_task(MATH, options)


def _example(row: Row, where: str) -> Example:
    prompt = next((column for column in _PROMPTS if column in row), _PROMPTS[0])
    solution = text(row, "solution", where) if row.get("solution") else None
    metadata = {key: row[key] for key in ("level", "type", "subject") if key in row}
    return Example(
        prompt=text(row, prompt, where),
        answer=_gold(row, solution, where),
        metadata=metadata,
        response=solution,
    )


def _gold(row: Row, solution: str | None, where: str) -> str:
    """The last box of the solution, else of the answer, else the answer as it stands."""
    answer = text(row, "answer", where) if row.get("answer") not in (None, "") else None
    gold = (boxed_answer(answer) or answer) if answer is not None else boxed_answer(solution or "")
    if not gold:
        raise DataError(
            f"{where} needs an answer, or a solution with \\boxed{{...}}, because that is the "
            "gold, but it has neither. Correct or remove the line."
        )
    return gold


MATH = Benchmark(
    name="math",
    example=_example,
    hub=("DigitalLearningGmbH/MATH-lighteval", None),
    variable="JUMAR_MATH",
    template=PromptTemplate(
        user="{prompt}\n\nThink step by step and put the final answer in \\boxed{<answer>}"
    ),
    verifier=VerifierSpec("math"),
)
