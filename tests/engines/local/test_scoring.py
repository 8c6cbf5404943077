"""Scores that begin while other responses are still being sampled."""

import pytest

from jumar.engines.local.scoring import EarlyScores
from jumar.verifiers.pool import ScoringPool
from jumar.verifiers.score import Row, VerifierSpec

ROWS = [Row("p", "1"), Row("p", "2"), Row("p", "3")]
TEXTS = ["#### 1", "#### 1", "#### 3"]


@pytest.fixture(scope="module")
def numbers():
    with ScoringPool(VerifierSpec("gsm8k"), workers=1) as pool:
        yield pool


@pytest.mark.parametrize("told", [[], [2], [1, 0], [2, 0, 1]])
def test_scores_are_the_same_whichever_began_early(numbers, told):
    early = EarlyScores(numbers, ROWS, lambda ids: TEXTS[ids[0]])
    for row in told:
        early.ended(row, [row])
    assert early.all(TEXTS) == numbers.score(TEXTS, ROWS)
    assert [score.correct for score in early.all(TEXTS)] == [True, False, True]
