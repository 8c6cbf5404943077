import pytest

from jumar.verifiers import ScoringPool, VerifierSpec
from jumar.verifiers.score import Row

pytest.importorskip("math_verify", reason="the optional package math-verify is not installed")

CASES = [
    ("7", "7", True, "agrees"),
    ("6=7", "7", False, "disagrees, says right"),
    ("(x-1)(x+1)", "x^2-1", False, "disagrees, says right"),
    ("8", "7", False, "agrees"),
]


def test_a_second_opinion_is_reported_and_never_changes_a_score():
    rows = [Row("q", gold) for _, gold, _, _ in CASES]
    responses = [f"\\boxed{{{answer}}}" for answer, *_ in CASES]
    with ScoringPool(VerifierSpec("math", {"second_opinion": True}), workers=1) as pool:
        scores = pool.score(responses, rows)
        statistics = pool.statistics()
    with ScoringPool(VerifierSpec("math"), workers=1) as pool:
        alone = pool.score(responses, rows)
    for (_, _, correct, word), score, plain in zip(CASES, scores, alone, strict=True):
        assert score.correct is correct
        assert score.detail == f"math-verify: {word}"
        assert (score.score, score.status) == (plain.score, plain.status)
    assert (statistics["opinions"], statistics["disagreements"]) == (4, 2)


def test_a_second_opinion_that_hangs_leaves_the_score_as_it_was():
    with ScoringPool(VerifierSpec("math", {"second_opinion": True}), workers=1) as pool:
        (score, after) = pool.score(
            ["\\boxed{9^{9^{9^{9}}}}", "\\boxed{7}"], [Row("q", "7"), Row("q", "7")]
        )
    assert (score.status, score.score) == ("wrong", 0.0)
    assert score.detail == "math-verify: no opinion"
    assert after.correct
