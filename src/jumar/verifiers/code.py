"""Programs: the last fenced block of a response, run on the example's tests in a sandbox.

The answer of an example is a JSON list of tests (`program_tests` has their form). The score is the
fraction of tests passed, each of which is also a part of the score, `test_001` and so on; correct
is a program that passes all. A program that fails, hangs or attacks its sandbox is wrong.
"""

import time
from collections.abc import Sequence
from itertools import takewhile

from jumar.errors import ConfigurationError
from jumar.verifiers.extract import MAX_ANSWER, fenced_code
from jumar.verifiers.program_tests import Call, Program, read_tests, same_json, same_text
from jumar.verifiers.sandbox import KILLED, Sandbox, SandboxTimeoutError
from jumar.verifiers.score import Scorable, Score, Scorer, graded, unparseable


def scorer(
    *,
    cpu_seconds: float = 5.0,
    wall_seconds: float = 30.0,
    memory_mb: int = 512,
    run_model_code_without_isolation: bool = False,
) -> Scorer:
    """Limits: processor time of one run of a program, wall clock of all its tests, memory.

    `run_model_code_without_isolation` lets programs do whatever this user may on this machine.
    """
    if not (cpu_seconds > 0 and wall_seconds > 0 and memory_mb >= 64):
        raise ConfigurationError(
            f"The verifier 'code' was given cpu_seconds={cpu_seconds}, wall_seconds={wall_seconds} "
            f"and memory_mb={memory_mb}, and it needs time and 64 megabytes, so that Python can "
            "start. Raise them."
        )
    sandbox = Sandbox(
        cpu_seconds=cpu_seconds,
        memory_mb=memory_mb,
        isolated=not run_model_code_without_isolation,
    )

    def score(response: str, example: Scorable) -> Score:
        code = fenced_code(response)
        if code is None:
            return unparseable("no closed block between lines of ``` in the response")
        if len(code) > MAX_ANSWER:
            return unparseable(f"the program has more than {MAX_ANSWER} characters")
        tests = read_tests(example.answer)
        try:
            problems = _problems(sandbox, code, tests, time.monotonic() + wall_seconds)
        except SandboxTimeoutError as error:
            parts = {_part(at): 0.0 for at in range(len(tests))}
            return Score(0.0, False, "timed_out", code, parts, str(error))
        return _graded(code, problems)

    return score


def _graded(code: str, problems: Sequence[str]) -> Score:
    failed = [f"test {at}: {problem}" for at, problem in enumerate(problems, 1) if problem]
    passed = len(problems) - len(failed)
    detail = "; ".join([f"{passed} of {len(problems)} tests passed", *failed[:1]])
    one = graded(passed / len(problems), not failed, code, detail)
    parts = {_part(at): float(not problem) for at, problem in enumerate(problems)}
    return Score(one.score, one.correct, one.status, code, parts, detail)


def _part(at: int) -> str:
    return f"test_{at + 1:03}"


def _problems(
    sandbox: Sandbox, code: str, tests: Sequence[Call | Program], deadline: float
) -> list[str]:
    """Why each test failed; "" where it did not."""
    problems: list[str] = []
    while len(problems) < len(tests):
        waiting = tests[len(problems) :]
        if problems and problems[-1] == KILLED:
            return problems + [KILLED] * len(waiting)
        if isinstance(waiting[0], Program):
            problems.append(_printed(sandbox, code, waiting[0], deadline))
        else:
            calls = [test for test in takewhile(_is_call, waiting) if isinstance(test, Call)]
            problems += _called(sandbox, code, calls, deadline)
    return problems


def _is_call(test: Call | Program) -> bool:
    return isinstance(test, Call)


def _printed(sandbox: Sandbox, code: str, test: Program, deadline: float) -> str:
    run = sandbox.run({"code": code}, test.stdin, deadline)
    return run.ending or ("" if same_text(run.output, test.stdout) else "it printed another text")


def _called(sandbox: Sandbox, code: str, calls: Sequence[Call], deadline: float) -> list[str]:
    """As `_problems`, up to the call that ended the run; the next run begins behind it."""
    asked = [[call.function, call.arguments] for call in calls]
    run = sandbox.run({"code": code, "calls": asked}, "", deadline)
    told: dict[str, str] = {}
    for line in run.output.split("\n"):
        nonce, about, value = (*line.split(" ", 2), "", "")[:3]
        if nonce == run.nonce:
            told.setdefault(about, value)
    early = run.ending or "it ended early"
    if (loaded := told.get("loaded", f"!{early}")).startswith("!"):
        return [loaded[1:]] * len(calls)
    problems: list[str] = []
    for at, call in enumerate(calls):
        if str(at) not in told:
            return [*problems, early]
        problems.append(_judged(told[str(at)], call))
    return problems


def _judged(value: str, call: Call) -> str:
    if value.startswith("!"):
        return value[1:] or "it failed"
    return "" if same_json(value, call.returns) else "it returned another value"
