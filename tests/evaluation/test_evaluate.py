import json

import pytest
from endpoint import failure, server
from evaluations import Table, evaluation

from jumar.engines.settings import JudgeSettings
from jumar.errors import ConfigurationError
from jumar.evaluation import evaluate, validation
from jumar.evaluation.evaluate import read, second_opinions
from jumar.evaluation.judge import Judge
from jumar.tasks.task import Example
from jumar.verifiers import STATUSES, ScoringPool, VerifierSpec

ADD, SUBTRACT = Example(prompt="2+2", answer="4"), Example(prompt="9-2", answer="7")
BEFORE = Table({"2+2": ["#### 4", "#### 5", "four", "#### 5"], "9-2": ["#### 7"] * 4})
AFTER = Table({"2+2": ["#### 4"] * 4, "9-2": ["#### 7"] * 3 + ["#### 8 or 9"]})


@pytest.fixture(scope="module")
def pool():
    with ScoringPool(VerifierSpec("gsm8k"), workers=1) as pool:
        yield pool


def evaluated(policy, pool, examples=(ADD, SUBTRACT), samples=4):
    return evaluate(policy, pool, examples, samples=samples, temperature=1.0, top_p=1.0, seed=0)


def test_every_response_is_scored_against_its_own_example(pool):
    evaluation = evaluated(BEFORE, pool)
    assert evaluation.correct.tolist() == [[True, False, False, False], [True] * 4]
    assert evaluation.answers == [["4", "5", None, "5"], ["7"] * 4]
    assert evaluation.lengths.tolist() == [[6, 6, 4, 6], [6] * 4]


def test_outcomes_are_counted_apart_and_those_that_did_not_happen_are_named(pool):
    statuses = evaluated(BEFORE, pool).statuses
    assert statuses == {"right": 5, "wrong": 2, "unparseable": 1, "timed_out": 0, "crashed": 0}
    assert tuple(statuses) == STATUSES


def test_the_estimates_are_the_hand_worked_numbers_inside_their_intervals(pool):
    estimates = evaluated(BEFORE, pool).estimates()
    values = {name: estimate.value for name, estimate in estimates.items()}
    assert values == pytest.approx(
        {
            "pass@1": 0.625,
            "avg@4": 0.625,
            "pass@2": 0.75,
            "pass@3": 0.875,
            "pass@4": 1.0,
            "maj@4": 0.5,
            "truncated": 0.0,
            "response_tokens": 5.75,
        }
    )
    assert all(e.low <= e.value <= e.high for e in estimates.values())


def test_pass_at_k_is_given_for_every_k(pool):
    policy = Table({"2+2": ["#### 4"] * 6})
    names = evaluated(policy, pool, [ADD], samples=6).estimates()
    assert [name for name in names if name.startswith("pass")] == [
        f"pass@{k}" for k in (1, 2, 3, 4, 5, 6)
    ]


def test_the_share_of_truncated_responses_is_estimated(pool):
    assert evaluated(AFTER, pool).estimates()["truncated"].value == 1 / 8


def test_greedy_decoding_is_one_sample_at_temperature_zero(pool):
    policy = Table(BEFORE.responses)
    evaluation = evaluate(policy, pool, [ADD], samples=1, temperature=0, top_p=1.0, seed=3)
    assert policy.calls == [(1, 0, 1.0, 3)]
    assert set(evaluation.estimates()) == {"pass@1", "truncated", "response_tokens"}
    with pytest.raises(ConfigurationError, match="greedy decoding gives the same response"):
        evaluate(policy, pool, [ADD], samples=2, temperature=0, top_p=1.0, seed=3)


def test_an_evaluation_without_prompts_is_refused(pool):
    with pytest.raises(ConfigurationError, match=r"needs at least one .* Name another split"):
        evaluated(BEFORE, pool, [])


def test_rows_hold_what_was_asked_said_and_earned(pool):
    rows = list(evaluated(BEFORE, pool).rows())
    assert len(rows) == 8
    assert rows[5] == {
        "prompt": "9-2",
        "answer": "7",
        "sample": 1,
        "response": "#### 7",
        "tokens": 6,
        "truncated": False,
        "score": 1.0,
        "correct": True,
        "status": "right",
        "extracted": "7",
        "detail": "",
    }
    assert [json.loads(json.dumps(row)) for row in rows] == rows


def test_the_summary_is_strict_json_even_where_an_interval_has_no_end(pool):
    summary = evaluated(BEFORE, pool, [ADD]).to_dict()
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary
    assert summary["estimates"]["response_tokens"] == [5.5, 0.0, None]
    assert summary["statuses"]["unparseable"] == 1
    assert (summary["prompts"], summary["samples"]) == (1, 4)
    assert "judge" not in summary


def test_the_protocol_and_its_digest_stand_in_the_summary(pool):
    found = evaluated(BEFORE, pool).to_dict()["protocol"]
    other = evaluated(AFTER, pool).to_dict()["protocol"]
    assert found == other  # who was asked is no part of it
    assert found["parts"]["verifier"] == {"kind": "gsm8k", "options": {}}
    assert (found["parts"]["samples"], found["parts"]["prompts"]) == (4, 2)
    assert len(found["digest"]) == 12


def test_a_validation_draws_the_same_way_at_every_step_and_keeps_what_was_said(pool, tmp_path):
    policy = Table(BEFORE.responses)
    validate = validation(
        pool, [ADD, SUBTRACT], tmp_path / "kept",
        samples=2, temperature=0.7, top_p=0.9, seed=5, conditions={"task": "sums"},
    )  # fmt: skip
    first, second = validate(policy, 10), validate(policy, 20)
    assert first == second
    assert first["pass@1"].value == 0.75
    assert policy.calls == [(2, 0.7, 0.9, 5)] * 2
    kept = read(tmp_path / "kept" / "step-000010.jsonl")
    assert kept.estimates() == first
    assert kept.protocol["task"] == "sums"
    assert kept.digest == read(tmp_path / "kept" / "step-000020.jsonl").digest


JUDGE = {"retries": 0, "seconds": 5.0, "model": "friend"}


def judged(found, there):
    return second_opinions(found, Judge(JudgeSettings(url=there.url, **JUDGE)))


def test_a_judge_reads_what_was_refused_and_changes_no_score():
    plain = evaluation("1001 1u11")
    with server(
        **{"it is 0": "It is 1 in other words.\nright", "it is u": "None.\nwrong"}
    ) as there:
        heard = judged(plain, there)
    assert len(there.asked) == 2  # equal responses are asked about once, and none that is right
    assert heard.estimates() == plain.estimates()
    assert heard.statuses == plain.statuses
    found = heard.to_dict()["judge"]
    value, low, high = found.pop("judge_pass@1")
    assert found == {
        "model": "friend", "url": there.url, "question": heard.judge["question"],
        "asked": 3, "agrees": 1, "accepts": 2, "no_opinion": {},
    }  # fmt: skip
    assert (value, plain.estimates()["pass@1"].value) == (7 / 8, 5 / 8)
    assert low < value < high
    kept = [row.get("judge") for row in heard.rows()]
    accepted = {"accepts": True, "words": "It is 1 in other words.", "cause": ""}
    assert kept == [
        None, accepted, accepted, None,
        None, {"accepts": False, "words": "None.", "cause": ""}, None, None,
    ]  # fmt: skip


def test_an_evaluation_does_not_fail_because_its_judge_does():
    plain = evaluation("100 11u")
    with server(**{"it is 0": "perhaps", "it is u": failure(500)}) as there:
        heard = judged(plain, there)
    assert heard.judged()["no_opinion"] == {"unclear": 2, "HTTP 500": 1}
    assert heard.judged()["judge_pass@1"][0] == plain.estimates()["pass@1"].value
    nobody = judged(plain, there)  # the server is closed
    assert nobody.judged()["no_opinion"] == {"no connection (ConnectionRefused)": 3}
    json.dumps(nobody.to_dict(), allow_nan=False)


def test_a_judge_is_not_asked_where_nothing_was_answered_or_nothing_is_known():
    with server(it="right") as there:
        assert judged(evaluation("tc 11"), there).judged()["asked"] == 0
        no_gold = evaluation("00", examples=[Example(prompt="Sing.")])
        assert judged(no_gold, there).judged()["asked"] == 0
    assert there.asked == []
