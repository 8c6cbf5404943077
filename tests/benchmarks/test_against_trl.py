"""The measurement beside TRL: that both do the same work, and what its numbers mean."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from speed import page, records
from speed.cases import CASES
from speed.fits import exponent, last_exponent
from speed.ratios import rank, ratio
from speed.work import Work

from equivalence.peers import peer

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "against_trl.py"


@pytest.mark.slow
def test_both_make_the_tokens_of_the_table_and_have_one_loss():
    peer("trl")
    command = [sys.executable, str(SCRIPT), "--quick", "--case", "varied", "a_star_po", "memory"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]  # the counts and losses are asserted there
    assert "| whole step |" in done.stdout
    assert "settings of TRL that were tried" in done.stdout


def test_the_table_cuts_at_the_limit_and_counts_each_end():
    work = Work(prompts=50, responses=40, response_tokens=20, end_rate=0.1)
    ends = work.ends(1)
    assert ends.shape == (50, 40)
    assert np.array_equal(ends, work.ends(1))
    assert not np.array_equal(ends, work.ends(2))
    assert work.tokens(1) == sum(min(end + 1, 20) for end in ends.flatten())
    assert abs(np.mean(ends >= 20) - 0.9**20) < 0.04  # the share that is cut


def test_without_an_end_rate_every_response_is_cut():
    work = Work(prompts=2, responses=3, response_tokens=5)
    assert work.tokens(1) == 2 * 3 * 5
    assert (work.ends(1) >= 5).all()


def test_a_ratio_is_the_median_of_pairs_with_the_interval_of_the_sign_test():
    # 5 of 9 may lie on either side; P(at most 1 of 9) = 10/512 < 2.5 %, so one is left out
    found = ratio([1.0] * 9, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0])
    assert found == (5.0, 2.0, 8.0)
    assert [rank(count) for count in (1, 6, 8, 9, 12)] == [0, 0, 0, 1, 2]


def test_an_exponent_is_the_slope_in_logarithms():
    xs = [1.0, 2.0, 4.0, 8.0]
    assert exponent(xs, [3.0 * x**1.5 for x in xs]) == pytest.approx(1.5)
    assert last_exponent(xs, [9.0, 9.0, 2.0, 8.0]) == pytest.approx(2.0)


def test_the_page_says_where_trl_is_ahead(tmp_path, monkeypatch):
    monkeypatch.setattr(records, "STORE", tmp_path)
    assert page.page() == ""
    turns = {"jumar": (2.0, 1.5), "TRL": (3.0, 1.0)}  # seconds of a step, and of its rollout
    record = {
        "agreement": {"ours": 0.0, "theirs": 0.0, "gradient": 1e-7},
        "tried": {"all rows in one pass": [3.0, 3.1]},
        "chosen": "all rows in one pass",
        "turns": {
            side: [{"step": step, "rollout": rollout, "tokens": 8192.0}] * 9
            for side, (step, rollout) in turns.items()
        },
        "made": dict.fromkeys(
            ("commit", "python", "torch", "transformers", "trl", "accelerate", "machine"), "x"
        ),
    }
    records.keep("short", record)
    text = page.page()
    assert "| short | whole step | 1.50 | 1 | reached |" in text
    assert "| short | sampling and scoring | 0.67 | not known |" in text
    assert f"## short: {CASES['short'].title}" in text
