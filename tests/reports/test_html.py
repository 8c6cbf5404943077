import base64
import hashlib
import json
import re
from itertools import product

import pytest
from typer.testing import CliRunner

from jumar.cli import app
from jumar.errors import ConfigurationError
from jumar.reports.html import TEMPLATES, report, write_report
from jumar.reports.responses import in_short
from jumar.reports.runs import read
from made_runs import CONFIG, HOSTILE, evaluation, made_run

EMPTY = {"base": {}, "final": {}, "change": {}, "steps": 30, "seconds": 1.0, "threads": 1}


def embedded(page, name):
    return json.loads(page.partition(f'id="data-{name}">')[2].partition("</script>")[0])


def test_a_page_is_one_file_that_asks_for_nothing(tmp_path):
    run = made_run(tmp_path / "run", texts=HOSTILE)
    page = report(read(run))
    assert write_report(run) == run / "report.html"
    assert not re.findall(r'(?:src|href|action)="(?!#|data:)', page)
    assert "url(" not in page
    assert "@import" not in page


def test_the_policy_names_the_hashes_of_its_own_style_and_script(tmp_path):
    page = report(read(made_run(tmp_path / "run")))
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', page)[1].replace("&#39;", "'")
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy
    for kind, tag in (("style", "<style>"), ("script", "<script>")):
        text = page.partition(tag)[2].partition(f"</{kind}>")[0]
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy


def test_data_cannot_end_the_element_it_stands_in():
    text = in_short(HOSTILE)
    assert "<" not in text
    assert json.loads(text) == HOSTILE


def test_hostile_text_never_stands_in_the_page_as_markup(tmp_path):
    page = report(read(made_run(tmp_path / "run", texts=HOSTILE)))
    assert "<img" not in page
    assert page.count("<script") == 4  # three of data and the page's own
    texts = [
        said["response"]["text"]
        for said in embedded(page, "responses")["responses"]
        if "response" in said
    ]
    assert HOSTILE[0] in texts


@pytest.mark.parametrize(
    ("after", "words"),
    [(0.75, "is better than the base"), (0.25, "is worse than the base"), (0.55, "cannot tell")],
)
def test_a_verdict_is_given_only_where_the_interval_leaves_zero_out(tmp_path, after, words):
    page = report(read(made_run(tmp_path / "run", summary=evaluation(0.5, after))))
    assert words in page
    assert ('class="verdict"' in page) == (words != "cannot tell")


@pytest.mark.parametrize(
    "gone", ["summary.json", "metrics.jsonl", "config.yaml", "rollouts", "evaluation", "stages"]
)
def test_what_a_run_lacks_is_left_out(tmp_path, gone):
    run = made_run(tmp_path / "run")
    (run / gone).rename(tmp_path / gone)
    assert "<h1>" in report(read(run))


def test_a_run_that_has_just_begun_has_a_page(tmp_path):
    (tmp_path / "config.yaml").write_text(CONFIG)
    page = report(read(tmp_path))
    assert "Not finished" in page
    assert "Nothing has been evaluated on held-out prompts so far" in page


def test_a_run_without_evaluation_says_so_and_has_no_table(tmp_path):
    page = report(read(made_run(tmp_path / "run", summary=EMPTY)))
    assert 'class="scores"' not in page
    assert "held-out pass@1 at step 30" in page


def test_the_algorithm_is_the_resolved_record_of_the_run(tmp_path):
    page = report(read(made_run(tmp_path / "run")))
    assert "w_max=3.0" in page  # in the record
    assert re.search(r'class="other"><th scope="row"><code>w_max</code></th><td>3.0</td>', page)
    assert "arXiv:2605.22156" in page
    assert "The program: Ratchet" in page


def test_an_algorithm_made_in_python_is_told_by_its_settings(tmp_path):
    run = made_run(tmp_path / "run")
    text = CONFIG.replace("name: owpo\n  w_min: 0.5\n  w_max: 3.0", "name: mine\n  record: Mine(1)")
    (run / "config.yaml").write_text(text)
    page = report(read(run))
    assert "no card of <code>mine</code>" in page
    assert "record: Mine(1)" in page


def test_a_page_that_cannot_be_written_says_where_and_what_to_do(tmp_path):
    run = made_run(tmp_path / "run")
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="another"):
        write_report(run, tmp_path / "file" / "page.html")


def test_the_command_writes_the_page_and_names_it(tmp_path):
    run, out = made_run(tmp_path / "run"), tmp_path / "mine.html"
    result = CliRunner().invoke(app, ["report", str(run), "--out", str(out)])
    assert result.exit_code == 0
    assert str(out) in result.stdout
    assert out.is_file()
    refused = CliRunner().invoke(app, ["report", str(tmp_path / "nothing")])
    assert refused.exit_code == 2
    assert "Name the directory" in refused.stderr


# ------------------------------------------------------------------ colours


def colours():
    """{name: (light, dark)} of the style sheet."""
    style = (TEMPLATES / "page.css").read_text()
    found = re.findall(r"--(\w+): light-dark\((#\w{6}), (#\w{6})\)", style)
    return {name: (light, dark) for name, light, dark in found}


def luminance(colour):
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    r, g, b = (x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in parts)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def contrast(a, b):
    low, high = sorted((luminance(a), luminance(b)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", [0, 1])
def test_text_and_lines_stand_out_in_both_themes_as_wcag_asks(theme):
    found = {name: pair[theme] for name, pair in colours().items()}
    tokens = [f"{side}{n}" for side, n in product("mp", range(1, 5))]
    for text, ground in [
        *product(("ink", "muted", "link", "good", "bad"), ("paper", "raised")),
        *product(("ink",), tokens),
    ]:
        assert contrast(found[text], found[ground]) >= 4.5, (text, ground)
    for line in ("c0", "c1", "c2", "c3", "c4", "rule"):
        assert contrast(found[line], found["paper"]) >= 3.0, line


def test_the_two_sides_of_the_scale_grow_darker_outwards():
    for side, theme in product("mp", (0, 1)):
        steps = [luminance(colours()[f"{side}{n}"][theme]) for n in range(1, 5)]
        assert steps == sorted(steps, reverse=theme == 0)
