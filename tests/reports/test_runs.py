import math

import pytest

from jumar.errors import DataError
from jumar.reports.runs import answered, read
from made_runs import made_run, metrics, validation, write_lines


@pytest.fixture
def directory(tmp_path):
    return made_run(tmp_path / "run")


def test_a_run_is_read_as_it_was_written(directory):
    run = read(directory)
    assert run.config["algorithm"]["w_max"] == 3.0
    assert (run.name, run.last_step, run.finished) == ("run", 30, True)
    assert run.points("kl").steps == list(range(1, 31))
    assert run.points("kl").values[6] == metrics(7)["kl"]
    assert run.total("sampled_tokens") == 30 * 960.0


def test_validations_come_with_their_limits(directory):
    steps, values, lows, highs = read(directory).validation("pass@1")
    expected = [validation(step, 0.5 + step / 100)["validation"]["pass@1"] for step in steps]
    assert steps == [10, 20, 30]
    assert [list(row) for row in zip(values, lows, highs, strict=True)] == expected


def test_scores_and_changes_are_estimates_and_absent_ones_none(directory):
    run = read(directory)
    assert run.score("final", "sampled", "pass@1").value == 0.75
    assert run.change("sampled", "pass@1").low == 0.25 - 0.1
    assert run.score("base", "sampled", "pass@64") is None
    assert run.change("greedy", "maj@4") is None


def test_a_limit_that_nobody_knows_is_not_a_number(directory):
    (directory / "summary.json").write_text(
        '{"final": {"sampled": {"estimates": {"response_tokens": [3.0, null, null]}}}}'
    )
    found = read(directory).score("final", "sampled", "response_tokens")
    assert found.value == 3.0
    assert math.isnan(found.low)
    assert math.isnan(found.high)


def test_another_stage_begins_where_one_ended_and_the_run_went_on(directory):
    assert read(directory).swaps == [15]


def test_a_reference_that_was_swapped_says_nothing_about_the_distance_from_the_start(directory):
    measured = [{"step": 10, "what": "distance", "reverse_kl": 0.2}]
    write_lines(directory / "diagnostics.jsonl", [{"step": 5, "what": "alignment"}])
    assert read(directory).drift().values == []
    write_lines(directory / "diagnostics.jsonl", measured)
    assert read(directory).drift() == ([10], [0.2])
    for stage in (directory / "stages").glob("*/stage.json"):
        stage.unlink()
    (directory / "diagnostics.jsonl").unlink()
    run = read(directory)
    assert run.drift() == run.points("kl")


def test_an_unfinished_run_is_read_as_far_as_it_came(tmp_path):
    directory = made_run(tmp_path / "run", steps=4)
    (directory / "summary.json").unlink()
    with (directory / "metrics.jsonl").open("a") as file:
        file.write('{"step": 5, "rew')
    run = read(directory)
    assert (run.finished, run.last_step, run.swaps) == (False, 4, [])
    assert run.score("final", "sampled", "pass@1") is None


def test_a_run_that_has_made_no_step_yet_has_no_numbers(tmp_path):
    (tmp_path / "config.yaml").write_text("task: gym:chain_sum\n")
    run = read(tmp_path)
    assert (run.last_step, run.rows, run.validations, run.diagnostics) == (0, [], [], [])


def test_a_directory_without_a_run_is_refused_with_what_to_name(tmp_path):
    with pytest.raises(DataError, match=r"neither config\.yaml nor metrics\.jsonl.*Name the dir"):
        read(tmp_path)


def test_responses_to_a_prompt_belong_together(directory):
    (one,) = answered(read(directory), "base")
    assert (one.prompt, one.right, one.share, len(one.responses)) == ("Prompt 0 short", 1, 0.25, 4)
    assert answered(read(directory), "base", "greedy") == []


def test_what_was_measured_on_demand_is_kept_apart(directory):
    row = {"step": 5, "what": "distance", "reverse_kl": 0.2}
    write_lines(directory / "diagnostics.jsonl", [row])
    assert read(directory).diagnostics == [row]


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("config.yaml", "model: [tiny"),
        ("config.yaml", "- tiny"),
        ("summary.json", '{"final": '),
        ("stages/00-train/stage.json", "{"),
    ],
)
def test_a_damaged_file_is_named_with_what_to_do(directory, file, text):
    (directory / file).parent.mkdir(parents=True, exist_ok=True)
    (directory / file).write_text(text)
    with pytest.raises(DataError, match=f"{file} cannot be read.*Restore the file"):
        read(directory)


def test_lines_that_are_no_rows_of_a_step_are_left_out(directory):
    before = read(directory)
    for name in ("metrics.jsonl", "diagnostics.jsonl"):
        with (directory / name).open("ab") as file:
            file.write(b'[1]\n"word"\nnull\n{"reward": 1}\n\xff\xfe\n')
    after = read(directory)
    assert (after.rows, after.diagnostics) == (before.rows, before.diagnostics)
