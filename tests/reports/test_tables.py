import io
import math
from pathlib import Path

from rich.console import Console

from jumar.engines.contract import Estimate
from jumar.reports.tables import before_and_after, scores

BEFORE = {
    "pass@1": Estimate(0.541, 0.523, 0.559),
    "pass@4": Estimate(0.9, 0.88, 0.92),
    "pass@8": Estimate(0.953, 0.941, 0.962),
    "avg@8": Estimate(0.541, 0.523, 0.559),
    "maj@8": Estimate(0.7, 0.68, 0.72),
    "response_tokens": Estimate(64.23, 60.1, 67.9),
    "greedy": Estimate(0.602, 0.571, 0.632),
}
AFTER = {**BEFORE, "pass@1": Estimate(0.873, 0.861, 0.884)}
CHANGE = {
    "pass@1": Estimate(0.332, 0.313, 0.35),
    "pass@4": Estimate(0.0, -0.01, 0.01),
    "pass@8": Estimate(-0.004, -0.012, 0.003),
    "avg@8": Estimate(0.332, 0.313, 0.35),
    "greedy": Estimate(0.28, 0.244, 0.315),
    "maj@8": Estimate(-0.1, -0.12, -0.08),
}


def printed(renderable, width=80, colour=False):
    console = Console(
        file=io.StringIO(), width=width, force_terminal=colour,
        color_system="standard" if colour else None,
    )  # fmt: skip
    console.print(renderable)
    return console.file.getvalue()


def end_of_run(directory=Path("runs/owpo-1"), **options):
    table = before_and_after(
        BEFORE, AFTER, CHANGE, title="owpo on gym:chain_sum", prompts=1000, directory=directory
    )
    return printed(table, **options)


def test_base_and_final_stand_side_by_side_with_intervals_and_the_change():
    row = next(line for line in end_of_run().splitlines() if line.startswith("pass@1"))
    assert row.split("   ") == [
        "pass@1",
        "0.541 [0.523, 0.559]",
        "0.873 [0.861, 0.884]",
        "+0.332 [+0.313, +0.350]",
    ]


def test_the_table_is_pass_at_1_greedy_the_largest_k_and_the_majority():
    rows = [line.split()[0] for line in end_of_run().splitlines() if "[" in line]
    assert rows == ["pass@1", "greedy", "pass@8", "maj@8"]


def test_the_table_fits_80_columns_and_says_what_it_is():
    text = end_of_run()
    assert all(len(line) <= 80 for line in text.splitlines())
    assert "owpo on gym:chain_sum" in text
    assert "1000 held-out prompts, 95 % intervals" in text
    assert "Run directory: runs/owpo-1" in text


def test_a_narrow_screen_folds_numbers_but_drops_none():
    text = "".join(end_of_run(width=50).split())
    for number in ("0.873", "[0.861,", "0.884]", "+0.350]"):
        assert number in text


def test_a_long_run_directory_is_printed_whole():
    directory = Path("runs") / ("x" * 100)
    assert str(directory) in end_of_run(directory).replace("\n", "")


def test_only_a_change_whose_interval_leaves_out_0_is_coloured():
    text = end_of_run(colour=True)
    assert "\x1b[1;32m+0.332" in text
    assert "\x1b[1;31m-0.100" in text
    assert "m-0.004" not in text


def test_an_evaluation_shows_every_score_and_how_responses_ended():
    statuses = {"right": 812, "wrong": 150, "unparseable": 30, "timed_out": 8, "crashed": 0}
    table = scores(
        {**BEFORE, "truncated": Estimate(0.01, 0.005, 0.02)},
        title="final on gsm8k", prompts=125, samples=8, statuses=statuses,
    )  # fmt: skip
    text = " ".join(printed(table).split())
    assert "avg@8 0.541 [0.523, 0.559]" in text
    assert "truncated share 0.010 [0.005, 0.020]" in text
    assert "tokens per response 64.2 [60.1, 67.9]" in text
    assert "125 prompts, 8 samples each: 812 right, 150 wrong, 30 unparseable" in text
    assert "8 timed out, 0 crashed" in text


def test_an_interval_without_ends_is_still_printed():
    table = scores(
        {"response_tokens": Estimate(5.0, 0.0, math.inf)},
        title="one prompt", prompts=1, samples=1, statuses={"right": 1},
    )  # fmt: skip
    text = " ".join(printed(table).split())
    assert "5.0 [0.0, inf]" in text
    assert "1 prompts, 1 sample each: 1 right" in text
