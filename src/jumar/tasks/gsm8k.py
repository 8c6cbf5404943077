"""`gsm8k`: grade-school word problems; the gold is the number after `####` in the solution."""

from collections.abc import Mapping

from jumar.errors import DataError
from jumar.tasks.fixed import Benchmark, benchmark_task
from jumar.tasks.rows import Row, text
from jumar.tasks.task import Example, PromptTemplate, Task
from jumar.verifiers.extract import hash_answer
from jumar.verifiers.rational import number
from jumar.verifiers.score import VerifierSpec


def gsm8k_task(options: Mapping[str, str]) -> Task:
    """GSM8K from files (?train=&test= or ?path=), $JUMAR_GSM8K, or the hub."""
    return benchmark_task(GSM8K, options)


def _example(row: Row, where: str) -> Example:
    solution = text(row, "answer", where)
    gold = hash_answer(solution)
    if gold is None or number(gold) is None:
        raise DataError(
            f"{where} needs an answer that ends in `#### <number>`, because that is the gold, "
            f"but it ends in {solution[-40:]!r}. Correct or remove the line."
        )
    return Example(prompt=text(row, "question", where), answer=gold, response=solution)


GSM8K = Benchmark(
    name="gsm8k",
    example=_example,
    hub=("openai/gsm8k", "main"),
    variable="JUMAR_GSM8K",
    template=PromptTemplate(user="{prompt}\n\nThink step by step and end with: #### <answer>"),
    verifier=VerifierSpec("gsm8k"),
)
