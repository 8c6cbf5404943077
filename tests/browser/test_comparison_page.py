"""The page of a comparison: its numbers are those of the table, and it works like a report."""

import shutil

import pytest
from pages import audit, opened

from jumar.engines.contract import Responses
from jumar.evaluation.evaluate import Evaluation, write
from jumar.evaluation.protocol import protocol
from jumar.reports.comparison import grouped, in_numbers
from jumar.reports.comparison_page import write_comparison
from jumar.reports.runs import read
from jumar.tasks.task import Example
from jumar.verifiers.score import Score, VerifierSpec
from made_runs import HOSTILE, made_run, write_lines


def evaluated(run, *right):
    """Two final answers to each of three prompts."""
    examples = [Example(prompt=p, answer="1") for p in "abc"]
    drawn = {"samples": 2, "temperature": 1.0, "top_p": 1.0}
    write(
        Evaluation(
            examples=examples,
            protocol=protocol(examples, VerifierSpec("exact"), **drawn, conditions={}),
            responses=Responses(texts=["1"] * 6, tokens=[1] * 6, truncated=[False] * 6),
            scores=[Score(float(x), bool(x), "right" if x else "wrong") for x in right],
            seed=3, **drawn,
        ),
        run / "evaluation" / "final-sampled.jsonl",
    )  # fmt: skip


@pytest.fixture(scope="module")
def groups(tmp_path_factory):
    """Two seeds of one recipe, and another whose model has a name that wants to be more."""
    root = tmp_path_factory.mktemp("compared")
    first = made_run(root / "first")
    measured = [{"step": s, "what": "distance", "reverse_kl": s / 100} for s in (10, 20, 30)]
    write_lines(first / "diagnostics.jsonl", measured)  # its reference was swapped
    second, other = (shutil.copytree(first, root / name) for name in ("second", "other"))
    for run, old, new in (
        (second, "seed: 7", "seed: 8"),
        (other, "model: tiny", f"model: '{HOSTILE[0].replace(chr(39), chr(34))}'"),
    ):
        config = run / "config.yaml"
        config.write_text(config.read_text().replace(old, new))
    for run, right in ((first, 5), (second, 3), (other, 1)):
        evaluated(run, *(number < right for number in range(6)))
    return grouped([read(run) for run in (first, second, other)])


@pytest.fixture(scope="module")
def page(groups, tmp_path_factory):
    path = tmp_path_factory.mktemp("pages") / "comparison.html"
    write_comparison(groups, path)
    return path


@pytest.fixture
def shown(driver, page):
    return opened(driver, page)


def test_the_numbers_are_those_of_the_table(shown, groups):
    found = shown.execute_script(
        "return Object.fromEntries([...document.querySelectorAll('[data-key]')]"
        ".map((e) => [e.dataset.key, Number(e.dataset.value)]))"
    )
    for letter, group in zip("AB", groups, strict=True):
        row = in_numbers(group, groups[0])
        assert found[f"{letter} pass@1"] == row["pass@1"][0]
        assert found[f"{letter} step"] is not None
    assert found["B change"] == in_numbers(groups[1], groups[0])["change"][0]


def test_seeds_are_pooled_and_there_is_a_curve_for_each_thing_that_was_spent(shown):
    rows = shown.execute_script(
        "return [...document.querySelectorAll('table.scores tbody tr')].map((e) => e.innerText)"
    )
    assert [row.split()[1] for row in rows] == ["2", "1"]
    assert shown.execute_script("return document.querySelectorAll('svg.chart').length") == 8


def test_a_hostile_name_is_text_and_nothing_goes_wrong(shown):
    assert "onerror" in shown.execute_script("return document.body.innerText")
    assert shown.title.endswith("jumar")
    assert shown.get_log("browser") == []


@pytest.mark.parametrize("width", [320, 768])
def test_a_narrow_screen_has_nothing_to_scroll_sideways(driver, page, width):
    opened(driver, page, width=width)
    wider = driver.execute_script("return document.documentElement.scrollWidth - window.innerWidth")
    assert wider <= 0


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_an_audit_of_accessibility_finds_nothing(driver, page, theme):
    opened(driver, page, theme=theme)
    assert audit(driver) == []
