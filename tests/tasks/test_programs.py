import pytest

from jumar import tasks
from jumar.errors import ConfigurationError, DataError, MissingColumnError
from jumar.tasks.check import check
from jumar.verifiers import VerifierSpec
from tasks.samples import write
from verifiers.isolated import isolated

WORDS = ("alpha", "beta", "gamma", "delta", "epsilon")
ROWS = [
    {
        "prompt": f"Write {word}(n), which adds {at}.",
        "tests": [{"call": word, "arguments": [n], "returns": n + at} for n in (1, 20)],
        "solution": f"def {word}(n):\n    return n + {at}",
    }
    for at, word in enumerate(WORDS)
]


def test_a_file_of_programs_names_the_verifier_and_its_limits(tmp_path):
    file = write(tmp_path / "a.jsonl", ROWS)
    spec = f"file:{file}?verifier=code&cpu_seconds=2&wall_seconds=8.5&memory_mb=128"
    task = tasks.get(spec)
    limits = {"cpu_seconds": 2, "wall_seconds": 8.5, "memory_mb": 128}
    assert task.verifier == VerifierSpec("code", limits)
    row = next(row for row in [*task.train, *task.validation, *task.test] if "beta" in row.prompt)
    assert row.answer.startswith('[{"call": "beta", "arguments": [1], "returns": 2}')
    assert "```python" in task.template.text(row)


def test_bare_running_is_asked_for_by_name(tmp_path):
    file = write(tmp_path / "a.jsonl", ROWS)
    task = tasks.get(f"file:{file}?verifier=code&run_model_code_without_isolation=true")
    assert task.verifier.options == {"run_model_code_without_isolation": True}


def test_check_runs_the_solutions(tmp_path):
    isolated()
    train, test = write(tmp_path / "a.jsonl", ROWS[:1]), write(tmp_path / "b.jsonl", ROWS[1:])
    found = check(tasks.get(f"file:{train}?verifier=code&test={test}"), workers=1)
    assert found.passed
    assert (found.examples, found.gold_accepted, found.shuffled_accepted) == (4, 4, 0)


@pytest.mark.parametrize(
    ("tests", "reason"),
    [
        ([], "one or more"),
        ("add(1, 2) == 3", "a list"),
        ([{"call": "add"}], "test 1 has neither"),
        ([{"stdin": "", "stdout": "", "points": 2}], "unknown keys: points"),
    ],
)
def test_bad_tests_are_refused_with_their_line_and_the_form(tmp_path, tests, reason):
    file = write(tmp_path / "a.jsonl", [*ROWS, {"prompt": "q", "tests": tests}])
    with pytest.raises(DataError, match=f"line 6 needs tests.*{reason}.*Write .*returns"):
        tasks.get(f"file:{file}?verifier=code")


def test_a_file_without_tests_is_refused(tmp_path):
    file = write(tmp_path / "a.jsonl", [{"prompt": "q", "answer": "1"}])
    with pytest.raises(MissingColumnError, match=r"\?tests=COLUMN"):
        tasks.get(f"file:{file}?verifier=code")


@pytest.mark.parametrize(
    ("option", "reason"),
    [
        ("cpu_seconds=soon", "could not convert"),
        ("run_model_code_without_isolation=yes", "'yes' is neither"),
        ("second_opinion=true", "no option 'second_opinion'"),
        ("cpu_second=3", "Did you mean cpu_seconds"),
    ],
)
def test_bad_options_are_refused(tmp_path, option, reason):
    file = write(tmp_path / "a.jsonl", ROWS)
    with pytest.raises(ConfigurationError, match=reason):
        tasks.get(f"file:{file}?verifier=code&{option}")
