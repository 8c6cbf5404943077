import asyncio
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import CancelledError, ThreadPoolExecutor
from pathlib import Path

import pytest

from jumar.errors import ConfigurationError, EngineError
from jumar.verifiers import ScoringPool, VerifierSpec
from jumar.verifiers.pool import MAX_RESPONSE
from jumar.verifiers.score import Row
from verifiers.corpora import HOSTILE

REWARDS = str(Path(__file__).with_name("rewards.py"))
ROW = Row("q", "7")


def function(name):
    return VerifierSpec("function", {"target": f"{REWARDS}:{name}"})


@pytest.fixture(scope="module")
def obedient():
    with ScoringPool(function("obeys"), cpu_seconds=0.3, wall_seconds=2.0) as pool:
        yield pool


@pytest.fixture(scope="module")
def arithmetic():
    with ScoringPool(VerifierSpec("math"), cpu_seconds=5.0) as pool:
        yield pool


def test_scores_come_back_in_order(arithmetic):
    responses = [f"\\boxed{{{i}}}" for i in range(200)]
    scores = arithmetic.score(responses, [ROW] * 200)
    assert [score.extracted for score in scores] == [str(i) for i in range(200)]
    assert [i for i, score in enumerate(scores) if score.correct] == [7]


@pytest.mark.parametrize(
    ("response", "status", "reason"),
    [
        ("spin", "timed_out", "CPU budget"),
        ("tower", "timed_out", "CPU budget"),  # one call in C code: no Python signal would end it
        ("sleep", "timed_out", "wall-clock"),
        ("die", "crashed", "exit status 3"),
        ("abort", "crashed", "SIGABRT"),
        ("eat", "crashed", "MemoryError"),
        ("raise", "crashed", "as told"),
    ],
)
def test_only_the_response_in_flight_pays(obedient, response, status, reason):
    scores = obedient.score(["fine", response, "fine", "fine"], [ROW] * 4)
    assert [score.status for score in scores] == ["right", status, "right", "right"]
    assert reason in scores[1].detail
    assert scores[1].score == 0.0


def test_a_killed_worker_is_replaced(obedient):
    before = set(obedient.worker_pids())
    restarts = obedient.statistics()["restarts"]
    obedient.score(["die"], [ROW])
    assert all(score.correct for score in obedient.score(["fine"] * 8, [ROW] * 8))
    after = set(obedient.worker_pids())
    assert len(after) == len(before) == 2
    assert after != before
    assert obedient.statistics()["restarts"] == restarts + 1


def test_a_worker_killed_from_outside_is_a_crash_and_no_more():
    with ScoringPool(function("obeys"), workers=1) as pool:
        os.kill(pool.worker_pids()[0], 9)
        first, second = pool.score(["fine", "fine"], [ROW] * 2)
    assert (first.status, second.status) == ("crashed", "right")
    assert "SIGKILL" in first.detail


def test_exits_and_prints_of_user_code_forge_nothing():
    for name in ("exits", "dies", "forges"):
        with ScoringPool(function(name), workers=1) as pool:
            (score,) = pool.score(["x"], [ROW])
        assert not score.correct
        assert score.status == ("wrong" if name == "forges" else "crashed")


def hostile_ones():
    forms = ("{}", "#### {}", "\\boxed{{{}}}", "so \\boxed{{{}}} #### {}", "$${}$$", "= {}")
    return [form.replace("{}", "\0").replace("{{", "{").replace("}}", "}").replace("\0", text)
            for form in forms for text in HOSTILE]  # fmt: skip


def test_the_hostile_corpus_holds_sixty_strings():
    assert len(set(HOSTILE)) >= 60


def test_five_hundred_hostile_answers_leave_every_worker_alive(arithmetic):
    attacks = hostile_ones()
    assert len(attacks) >= 500
    pids = arithmetic.worker_pids()
    scores = arithmetic.score(attacks, [Row("q", "123456")] * len(attacks))
    assert not any(score.correct for score in scores)
    assert {score.status for score in scores} <= {"right", "wrong", "unparseable"}
    assert arithmetic.worker_pids() == pids
    assert arithmetic.statistics()["seconds_p99"] < 5.0


@pytest.mark.parametrize("count", [1, 4])
def test_any_thread_may_score(arithmetic, count):
    found = {}

    def work(number):
        found[number] = arithmetic.score([*HOSTILE, "\\boxed{7}"], [ROW] * (len(HOSTILE) + 1))

    threads = [threading.Thread(target=work, args=(i,)) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found[i][-1].correct for i in range(count)] == [True] * count
    assert all(found[i] == found[0] for i in range(count))


def test_asyncio_may_score(arithmetic):
    async def work():
        direct = arithmetic.score([*HOSTILE, "\\boxed{7}"], [ROW] * (len(HOSTILE) + 1))
        aside = await asyncio.gather(
            *(asyncio.to_thread(arithmetic.score, ["\\boxed{7}"], [ROW]) for _ in range(5))
        )
        return direct, aside

    direct, aside = asyncio.run(work())
    assert direct[-1].correct
    assert all(score.correct for (score,) in aside)


def test_a_pool_outlives_the_thread_that_made_it():
    made = []
    thread = threading.Thread(target=lambda: made.append(ScoringPool(VerifierSpec("math"))))
    thread.start()
    thread.join()
    with made[0] as pool:
        assert all(score.correct for score in pool.score(["\\boxed{7}"] * 10, [ROW] * 10))
        assert pool.statistics()["restarts"] == 0


def test_of_a_very_long_response_the_end_is_read(arithmetic):
    long = "x" * (3 * MAX_RESPONSE) + " \\boxed{7}"
    assert arithmetic.score([long], [ROW])[0].correct


def test_surrogates_and_null_bytes_reach_the_worker_unchanged():
    row = Row("\ud800", "a\x00\udfffb", {"\ud800": "\x00"})
    with ScoringPool(function("is_gold"), workers=1) as pool:
        assert pool.score([row.answer], [row])[0].correct


def test_outcomes_and_latencies_are_counted():
    with ScoringPool(VerifierSpec("math"), workers=1) as pool:
        pool.score(["\\boxed{7}", "\\boxed{8}", "none", "\\boxed{7}"], [ROW] * 4)
        found = pool.statistics()
    assert (found["right"], found["wrong"], found["unparseable"]) == (2, 1, 1)
    assert found["timed_out"] == found["crashed"] == found["restarts"] == 0
    assert 0 < found["seconds_p50"] <= found["seconds_p99"]


def test_a_verifier_that_cannot_be_built_is_refused_at_once():
    with pytest.raises(ConfigurationError, match="No module named 'no_such_module'"):
        ScoringPool(VerifierSpec("function", {"target": "no_such_module:f"}))
    with pytest.raises(ConfigurationError, match="unexpected keyword"):
        ScoringPool(VerifierSpec("math", {"bogus": 1}))


@pytest.mark.parametrize("option", ["workers", "cpu_seconds", "wall_seconds", "memory_mb"])
def test_limits_must_be_positive(option):
    with pytest.raises(ConfigurationError, match=option):
        ScoringPool(VerifierSpec("math"), **{option: 0})


def test_a_closed_pool_says_so():
    pool = ScoringPool(VerifierSpec("math"), workers=1)
    pids = pool.worker_pids()
    pool.close()
    pool.close()
    with pytest.raises(EngineError, match="closed"):
        pool.score(["7"], [ROW])
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_responses_and_examples_pair_up(arithmetic):
    with pytest.raises(ValueError, match="zip"):
        arithmetic.score(["7", "8"], [ROW])


def test_workers_die_with_their_parent():
    code = (
        "import os, sys\n"
        "from jumar.verifiers import ScoringPool, VerifierSpec\n"
        f"pool = ScoringPool(VerifierSpec('function', {{'target': {REWARDS + ':obeys'!r}}}))\n"
        "print(*pool.worker_pids(), flush=True)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    for pid in map(int, done.stdout.split()):
        for _ in range(200):
            if not _runs(pid):
                break
            threading.Event().wait(0.05)
        assert not _runs(pid)


def _runs(pid):
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def test_no_scoring_process_imports_torch():
    code = (
        "import sys, jumar.verifiers.worker, jumar.verifiers.gym, jumar.verifiers.math\n"
        "import jumar.verifiers.reward_function, jumar.tasks, reasoning_gym\n"
        "sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_an_interrupt_does_not_wait_for_scores_that_nobody_reads():
    with ThreadPoolExecutor() as threads:
        pool = ScoringPool(function("naps"), workers=1)

        def interrupted():
            with pool:
                asked.append(threads.submit(pool.score, ["x"] * 200, [ROW] * 200))
                while not pool.statistics()["right"]:
                    time.sleep(0.01)
                raise KeyboardInterrupt

        asked = []
        with pytest.raises(KeyboardInterrupt):
            interrupted()
        assert isinstance(asked[0].exception(), CancelledError)
    assert pool.statistics()["right"] < 200
