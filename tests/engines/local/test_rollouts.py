"""What the local engine makes of verdicts: columns for algorithms that look into them."""

import math

import torch

from jumar.engines.local.rollouts import Rollout, answer_ids, with_parts
from jumar.types import RolloutBatch
from jumar.verifiers.score import Score


def said(extracted: str | None, **rewards: float) -> Score:
    return Score(1.0, True, "right", extracted, rewards)


def test_equal_answers_have_equal_ids_and_no_answer_is_one_of_them() -> None:
    ids = answer_ids([said("12"), said("7"), said("12"), said(None), said(None), said("None")])
    assert ids[0] == ids[2]
    assert ids[3] == ids[4]
    assert len(set(ids.tolist())) == 4


def test_parts_stand_in_the_order_of_their_names_and_are_nan_where_there_is_none() -> None:
    scores = [said("1", length=0.5, accuracy=1.0), said("2", accuracy=0.0)]
    batch = RolloutBatch.build(mask=torch.ones(2, 3, dtype=torch.bool))
    rows = Rollout(batch=batch, examples=[], prompts=[], texts=["", ""], scores=scores)
    parts = with_parts(rows).batch.reward_parts
    assert parts[0].tolist() == [1.0, 0.5]
    assert parts[1, 0] == 0
    assert math.isnan(parts[1, 1])


def test_a_verifier_without_parts_gives_none() -> None:
    batch = RolloutBatch.build(mask=torch.ones(2, 3, dtype=torch.bool))
    rows = Rollout(
        batch=batch, examples=[], prompts=[], texts=["", ""], scores=[said("1"), said("2")]
    )
    assert with_parts(rows).batch.reward_parts.shape == (2, 0)
