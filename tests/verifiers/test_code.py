import json

import pytest

from jumar.errors import ConfigurationError
from jumar.verifiers import ScoringPool, VerifierSpec
from jumar.verifiers.build import build
from jumar.verifiers.extract import MAX_ANSWER
from jumar.verifiers.score import Row
from verifiers.corpora import HOSTILE
from verifiers.forgeries import FORGERIES, PRINTED, PRINTING, SOLUTION, TESTS
from verifiers.isolated import isolated

SPEC = VerifierSpec("code", {"cpu_seconds": 2, "memory_mb": 256})


@pytest.fixture(scope="module")
def code():
    isolated()
    return build(SPEC)


def fenced(program):
    return f"Here it is:\n```python\n{program}\n```\nDone."


def scored(code, program, *tests):
    return code(fenced(program), Row("q", json.dumps(tests)))


def add(a, b, result):
    return {"call": "add", "arguments": [a, b], "returns": result}


ADDITIONS = (add(1, 2, 3), add(0.1, 0.2, 0.3), add("a", "b", "ab"), add([1], [2], [1, 2]))


def test_a_program_that_passes_every_test_is_right(code):
    found = scored(code, "def add(a, b):\n    return a + b", *ADDITIONS)
    assert (found.status, found.correct, found.score) == ("right", True, 1.0)
    assert found.rewards == {f"test_00{i}": 1.0 for i in (1, 2, 3, 4)}
    assert found.extracted == "def add(a, b):\n    return a + b"


def test_the_score_is_the_fraction_of_tests_passed_and_each_is_a_part(code):
    found = scored(code, "def add(a, b):\n    return int(a) + int(b)", *ADDITIONS)
    assert (found.status, found.correct, found.score) == ("wrong", False, 0.25)
    assert found.rewards == {"test_001": 1.0, "test_002": 0.0, "test_003": 0.0, "test_004": 0.0}
    assert found.detail == "1 of 4 tests passed; test 2: it returned another value"


def test_whole_programs_read_and_print(code):
    tests = [{"stdin": "1 2\n", "stdout": "3\n"}, {"stdin": "4 5", "stdout": "9"}]
    program = "a, b = map(int, input().split())\nprint(a + b)"
    assert scored(code, program, *tests).correct
    assert scored(code, "print(3)", *tests).score == 0.5
    assert scored(code, program + "\n1 / 0", *tests).detail.endswith("test 1: exit status 1")
    assert scored(
        code, f"if __name__ == '__main__':\n  a, b = 1, 2\n  {program[-12:]}", tests[0]
    ).correct


def test_both_kinds_of_test_may_be_mixed(code):
    tests = [{"stdin": "", "stdout": "hi"}, add(1, 2, 3), {"stdin": "x", "stdout": "hi"}]
    assert scored(code, "print('hi')\ndef add(a, b): return a + b", *tests).correct


@pytest.mark.parametrize(
    "end", ["import os; os._exit(0)", "raise ValueError", "import os; os.abort()"]
)
def test_a_test_that_ends_the_program_costs_no_other_test(code, end):
    found = scored(code, f"def add(a, b):\n  if a == 0.1:\n    {end}\n  return a + b", *ADDITIONS)
    assert found.rewards == {"test_001": 1.0, "test_002": 0.0, "test_003": 1.0, "test_004": 1.0}


def test_a_program_that_takes_too_long_is_not_run_again(code):
    found = scored(code, "def add(a, b):\n  while a == 0.1: pass\n  return a + b", *ADDITIONS)
    assert (found.status, found.score) == ("wrong", 0.25)
    assert found.detail == "1 of 4 tests passed; test 2: it ran out of time or memory"


def test_a_program_that_sleeps_is_timed_out_and_counted(code):
    options = {**SPEC.options, "wall_seconds": 1.0}
    with ScoringPool(VerifierSpec("code", options), workers=1) as pool:
        (found,) = pool.score([fenced("import time; time.sleep(99)")], [Row("q", TESTS)])
        assert pool.statistics()["timed_out"] == 1
        assert pool.statistics()["restarts"] == 0
    assert (found.score, found.rewards) == (0.0, {f"test_00{i}": 0.0 for i in (1, 2, 3)})


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("def add(a, b)\n  return 1", "SyntaxError: expected ':'"),
        ("x = 1", "AttributeError: module 'program' has no attribute 'add'"),
        ("1 / 0", "ZeroDivisionError"),
        ("def add(a): return 1", "TypeError: add() takes 1"),
        ("def add(a, b): return {1}", "TypeError: Object of type set"),
        ("def add(a, b): return float('nan')", "ValueError: Out of range float"),
        ("", "no attribute 'add'"),
        ("x = '\ud800'", "UnicodeEncodeError"),
        ("\x00", "null byte"),
        ("(" * 5000, "SyntaxError: too many nested"),
        ("def add(a, b): return bytearray(2**30)", "MemoryError"),
    ],
)
def test_why_a_program_failed_is_told(code, program, reason):
    found = scored(code, program, add(1, 2, 3))
    assert (found.status, found.score) == ("wrong", 0.0)
    assert reason in found.detail


@pytest.mark.parametrize(
    "response",
    ["", "def add(a, b): return a + b", "```python\ndef add(a, b): return a + b",
     fenced("#" * (MAX_ANSWER + 1))],
)  # fmt: skip
def test_a_response_without_a_closed_block_is_unparseable(code, response):
    assert code(response, Row("q", TESTS)).status == "unparseable"


def test_dataclasses_and_classes_work_as_in_a_module(code):
    program = (
        "from __future__ import annotations\nfrom dataclasses import dataclass, asdict\n"
        "@dataclass\nclass P:\n  x: int\n  y: int\ndef add(a, b): return asdict(P(a, b))"
    )
    assert scored(code, program, add(1, 2, {"x": 1, "y": 2})).correct


def test_what_a_program_prints_is_no_answer(code):
    assert scored(code, "print('x')\ndef add(a, b): print(7); return a + b", add(1, 2, 3)).correct


def test_the_solution_passes_the_tests_of_the_forgeries(code):
    assert code(fenced(SOLUTION), Row("q", TESTS)).correct
    assert code(fenced(SOLUTION + "print(mix(int(input())))"), Row("q", PRINTED)).correct


@pytest.mark.parametrize("name", FORGERIES)
def test_no_forgery_passes_a_test(code, name):
    found = code(fenced(FORGERIES[name]), Row("q", TESTS))
    assert (found.score, found.correct) == (0.0, False)


@pytest.mark.parametrize("name", PRINTING)
def test_no_printed_forgery_passes_a_test(code, name):
    found = code(fenced(PRINTING[name]), Row("q", PRINTED))
    assert (found.score, found.correct) == (0.0, False)


def test_hostile_text_is_never_a_right_program(code):
    with ScoringPool(SPEC) as pool:
        responses = [form.format(text) for text in HOSTILE for form in ("{}", "```\n{}\n```")
                     if text.count("{") == 0]  # fmt: skip
        scores = pool.score(responses, [Row("q", TESTS)] * len(responses))
    assert not any(score.correct for score in scores)
    assert {score.status for score in scores} <= {"wrong", "unparseable"}


@pytest.mark.parametrize("option", ["cpu_seconds", "wall_seconds", "memory_mb"])
def test_limits_must_leave_python_room(option):
    with pytest.raises(ConfigurationError, match=f"{option}=0.*Raise them"):
        build(VerifierSpec("code", {option: 0}))


def test_code_runs_bare_only_where_it_is_asked_for_by_name(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    spec = VerifierSpec("code", {"run_model_code_without_isolation": True})
    with ScoringPool(spec, workers=1) as pool:
        assert pool.score([fenced(SOLUTION)], [Row("q", TESTS)])[0].correct
