"""The verifier tried on a task before a GPU hour is spent: gold, shuffled gold, nothing.

Gold should be accepted always, another row's gold only where the two are equal, an empty answer
never.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from random import Random
from typing import Any

from jumar.errors import ConfigurationError
from jumar.tasks.programs import SOLUTION
from jumar.tasks.task import Example, Task
from jumar.verifiers.extract import boxed_answer
from jumar.verifiers.pool import ScoringPool
from jumar.verifiers.rational import number
from jumar.verifiers.score import Score, VerifierSpec

MAX_LISTED = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    """Counts over one split; `rejected_gold` and `accepted_shuffled` show a few offenders."""

    task: str
    split: str
    examples: int  # rows with a gold answer
    gold_accepted: int
    shuffled: int  # rows tried with another row's gold
    shuffled_accepted: int
    shuffled_equal: int  # of the accepted: rows whose two golds are equal
    empty_accepted: int
    unstable: int = 0  # gold answers that another process gave another score
    solutions: int = 0  # rows with a full reference solution, as for gsm8k
    solutions_accepted: int = 0
    disagreements: int | None = None  # with math-verify on gold and shuffled gold; None: not asked
    rejected_gold: tuple[str, ...] = ()
    accepted_shuffled: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Every gold accepted, nothing accepted that should not be."""
        return (
            self.examples > 0
            and self.gold_accepted == self.examples
            and self.solutions_accepted == self.solutions
            and self.shuffled_accepted == self.shuffled_equal
            and self.empty_accepted == 0
            and self.unstable == 0
        )

    def to_dict(self) -> dict[str, Any]:
        """The counts as JSON-able values."""
        return {**asdict(self), "passed": self.passed}


def gold_response(task: Task, answer: str) -> str:
    """A response that gives `answer` in the task's own format."""
    if task.verifier.kind in ("math", "choice"):
        return f"\\boxed{{{answer}}}"
    if task.verifier.options.get("multiline"):
        return f"####\n{answer}"
    if task.verifier.kind == "code":
        return f"```python\n{answer}\n```"
    if task.verifier.kind in ("gsm8k", "exact", "gym"):
        return f"#### {answer}"
    return answer


def _gold(task: Task, row: Example) -> str:
    """What a right response marks: the answer, or a program that passes the tests."""
    return str(row.metadata.get(SOLUTION, "")) if task.verifier.kind == "code" else row.answer


def check(
    task: Task,
    split: str = "test",
    *,
    workers: int = 2,
    second_opinion: bool = False,
    seed: int = 0,
) -> CheckResult:
    """The verifier's verdicts on gold, on another row's gold, and on nothing."""
    rows = [example for example in task.split(split) if _gold(task, example)]
    if not rows:
        raise ConfigurationError(
            f"The task {task.name!r} needs gold answers in its {split} split, to check its "
            "verifier with them, but it has none. Name another split, or trust its scorer."
        )
    partners = _derangement(rows, seed)
    verifier = _with_opinion(task.verifier) if second_opinion else task.verifier
    with ScoringPool(verifier, workers=workers) as pool:
        gold = pool.score([gold_response(task, _gold(task, row)) for row in rows], rows)
        shuffled = pool.score([gold_response(task, _gold(task, other)) for other in partners], rows)
        opinions = int(pool.statistics()["disagreements"]) if second_opinion else None
    with ScoringPool(task.verifier, workers=workers) as pool:
        again = pool.score([gold_response(task, _gold(task, row)) for row in rows], rows)
        empty = pool.score([""] * len(rows), rows) + pool.score(
            [gold_response(task, "") for _ in rows], rows
        )
        solved = [row for row in rows if _is_solution(task, row)]
        solutions = pool.score([row.response or "" for row in solved], solved)
    accepted = [i for i, score in enumerate(shuffled) if score.correct]
    unequal = [i for i in accepted if not _equal(rows[i], partners[i])]
    return CheckResult(
        task=task.name,
        split=split,
        examples=len(rows),
        gold_accepted=_accepted(gold),
        shuffled=len(shuffled),
        shuffled_accepted=len(accepted),
        shuffled_equal=len(accepted) - len(unequal),
        empty_accepted=_accepted(empty),
        unstable=sum(a.score != b.score for a, b in zip(gold, again, strict=True)),
        solutions=len(solutions),
        solutions_accepted=_accepted(solutions),
        disagreements=opinions,
        rejected_gold=tuple(
            f"{row.answer[:60]!r}: {score.status} {score.detail}".strip()
            for row, score in zip(rows, gold, strict=True)
            if not score.correct
        )[:MAX_LISTED],
        accepted_shuffled=tuple(
            f"gold {rows[i].answer[:60]!r} accepted {partners[i].answer[:60]!r}" for i in unequal
        )[:MAX_LISTED],
    )


def _is_solution(task: Task, row: Example) -> bool:
    """The stored response is a reference solution that marks its answer as the task asks."""
    if not row.response or task.name.startswith("file:"):
        return False
    kind = task.verifier.kind
    return kind == "gsm8k" or (kind == "math" and boxed_answer(row.response) is not None)


def _derangement(rows: Sequence[Example], seed: int) -> list[Example]:
    """Every row's partner: another row, by one rotation of a shuffled order."""
    order = list(range(len(rows)))
    Random(seed).shuffle(order)
    partner = {order[i]: order[(i + 1) % len(order)] for i in range(len(order))}
    return [rows[partner[i]] for i in range(len(rows))]


def _equal(row: Example, other: Example) -> bool:
    """The two golds say the same: as text, or as numbers."""
    if " ".join(row.answer.split()) == " ".join(other.answer.split()):
        return True
    value = number(row.answer)
    return value is not None and value == number(other.answer)


def _accepted(scores: Sequence[Score]) -> int:
    return sum(score.correct for score in scores)


def _with_opinion(verifier: VerifierSpec) -> VerifierSpec:
    from jumar.verifiers.math_verify import require

    require()
    return VerifierSpec(verifier.kind, {**verifier.options, "second_opinion": True})
