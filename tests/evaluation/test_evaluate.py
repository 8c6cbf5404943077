import json
from dataclasses import dataclass, field

import numpy as np
import pytest

from jumar.engines.contract import Responses
from jumar.errors import ConfigurationError
from jumar.evaluation import compare, evaluate, validation
from jumar.tasks.task import Example
from jumar.verifiers import STATUSES, ScoringPool, VerifierSpec

LIMIT = 6  # characters stand for tokens


@dataclass
class Table:
    """A policy that looks its responses up and records how it was asked."""

    responses: dict[str, list[str]]
    calls: list[tuple[int, float, float, int]] = field(default_factory=list)

    def respond(self, examples, *, samples, temperature, top_p, seed):
        self.calls.append((samples, temperature, top_p, seed))
        texts = [text for e in examples for text in self.responses[e.prompt][:samples]]
        return Responses(
            texts=texts, tokens=[len(t) for t in texts], truncated=[len(t) > LIMIT for t in texts]
        )


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
            "pass@4": 1.0,
            "maj@4": 0.5,
            "truncated": 0.0,
            "response_tokens": 5.75,
        }
    )
    assert all(e.low <= e.value <= e.high for e in estimates.values())


def test_pass_at_k_is_given_for_powers_of_two_and_for_all_samples(pool):
    policy = Table({"2+2": ["#### 4"] * 6})
    names = set(evaluated(policy, pool, [ADD], samples=6).estimates())
    assert {name for name in names if name.startswith("pass")} == {
        "pass@1",
        "pass@2",
        "pass@4",
        "pass@6",
    }


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


def test_a_validation_draws_the_same_way_at_every_step(pool):
    policy = Table(BEFORE.responses)
    validate = validation(pool, [ADD, SUBTRACT], samples=2, temperature=0.7, top_p=0.9, seed=5)
    first, second = validate(policy, 10), validate(policy, 20)
    assert first == second
    assert first["pass@1"].value == 0.75
    assert policy.calls == [(2, 0.7, 0.9, 5)] * 2


def test_a_comparison_is_the_change_of_every_share(pool):
    changes = compare(evaluated(AFTER, pool), evaluated(BEFORE, pool))
    assert {name: change.value for name, change in changes.items()} == pytest.approx(
        {"pass@1": 0.25, "avg@4": 0.25, "pass@2": 0.25, "pass@4": 0.0, "maj@4": 0.5}
    )


def test_runs_are_compared_prompt_by_prompt_only_on_the_same_prompts(pool):
    examples = [Example(prompt=f"{i}+0", answer=str(i)) for i in range(40)]
    policy = Table(
        {e.prompt: [f"#### {e.answer if i < 20 else 'x'}"] for i, e in enumerate(examples)}
    )
    one = evaluated(policy, pool, examples, samples=1)
    paired = compare(one, evaluated(policy, pool, examples, samples=1))["pass@1"]
    other = compare(one, evaluated(policy, pool, examples[::-1], samples=1))["pass@1"]
    assert paired.high < 0.08
    assert other.high > 0.15


def test_scores_that_only_one_run_has_are_not_compared(pool):
    few, many = evaluated(BEFORE, pool, samples=1), evaluated(BEFORE, pool, samples=4)
    assert set(compare(few, many)) == {"pass@1"}
    assert np.isfinite(compare(few, many)["pass@1"].low)
