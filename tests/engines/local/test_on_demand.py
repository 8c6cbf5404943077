"""What is measured on demand: distances from the start, and the gradient alignment score."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import letters
import numpy as np
import pytest
from letters import Log, trainer

from jumar import algorithms
from jumar.algorithm import Algorithm
from jumar.engines.local.alignment import Probe
from jumar.pieces import piece
from jumar.types import TokenBatch
from jumar.verifiers.pool import ScoringPool


def gain(tokens: TokenBatch):
    return -tokens.advantages * tokens.logprobs


def loss(tokens: TokenBatch):
    return tokens.advantages * tokens.logprobs


def probe(
    algorithm: Algorithm, model: Path, pool: ScoringPool, directory: Path, *,
    limit: int = 8, **options: Any,
) -> Probe:  # fmt: skip
    run = trainer(
        directory, model, pool, algorithm=algorithm, teacher=str(model),
        rollout={"max_response_tokens": limit},
    )  # fmt: skip
    return Probe(
        updater=run._updater, policy=run.policy, pool=pool, state={},
        **{"responses": 4, **options},
    )  # fmt: skip


def test_a_policy_gradient_is_aligned_and_its_opposite_opposed(model, pool, tmp_path):
    """Where a response is one token, its own reward is its chance of success: the estimate of the
    ideal is exact, and what is left is the noise of the method's 2,048 responses.
    """
    scores = []
    for name, surrogate in (("up", gain), ("down", loss)):
        algorithm = replace(algorithms.rloo(), surrogate=piece(surrogate))
        asked = probe(
            algorithm, model, pool, tmp_path / name,
            limit=1, responses=2048, continuations=1, groups=1,
        )  # fmt: skip
        asked.candidates = len(asked.policy.tokenizer)
        scores.append(asked.measured(letters.task().validation[:3]).scores)
    assert scores[0].min() > 0.9
    np.testing.assert_allclose(scores[1], -scores[0], atol=1e-5)


@pytest.mark.parametrize("name", ["grpo", "dapo", "owpo", "gkd", "opd", "mopd", "ppo"])
def test_any_algorithm_can_be_asked(name, model, pool, tmp_path):
    """One that says nothing, such as a teacher that is the policy, scores 0."""
    asked = probe(algorithms.get(name), model, pool, tmp_path / "run", continuations=4)
    run = asked.measured(letters.task().validation[:3])
    assert np.isfinite(run.scores).all()
    assert (abs(run.scores) <= 1 + 1e-6).all()
    if name in ("gkd", "opd"):
        assert abs(run.scores).max() < 1
    else:
        assert run.scores.any()


def measured(directory: Path) -> list[dict[str, Any]]:
    text = (directory / "diagnostics.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def test_a_run_measures_when_it_is_asked_and_tells_the_price(model, pool, tmp_path):
    log = Log()
    asked = {"distance_every": 2, "alignment_every": 3, "prompts": 3}
    run = trainer(tmp_path / "run", model, pool, log=log, diagnostics=asked)
    run.train(steps=4)
    rows = measured(tmp_path / "run")
    assert [(row["step"], row["what"]) for row in rows] == [
        (2, "distance"), (3, "alignment"), (4, "distance"),
    ]  # fmt: skip
    assert 0 < rows[0]["reverse_kl"] < rows[2]["reverse_kl"] + 1
    assert -1 <= rows[1]["alignment"] <= 1
    assert all(row["seconds"] > 0 and row["sampled_tokens"] > 0 for row in rows)
    told = [text for text in log.phases if "sampled tokens for it" in text]
    assert len(told) == 3


def test_measuring_changes_nothing_of_the_training(model, pool, tmp_path):
    plain = trainer(tmp_path / "plain", model, pool)
    plain.train(steps=2)
    asked = {"distance_every": 1, "alignment_every": 1, "prompts": 2}
    watched = trainer(tmp_path / "watched", model, pool, diagnostics=asked)
    watched.train(steps=2)
    one, other = (letters.lines_of(tmp_path / d / "metrics.jsonl") for d in ("plain", "watched"))
    assert one == other


def test_a_resumed_run_measures_again_what_came_after_its_checkpoint(model, pool, tmp_path):
    asked = {"distance_every": 1, "prompts": 2}
    settings = {"diagnostics": asked, "checkpoints": {"every": 2}}
    with pytest.raises(KeyboardInterrupt):
        trainer(tmp_path / "run", model, pool, log=Log(stop_after=3), **settings).train(steps=4)
    again = trainer(tmp_path / "run", model, pool, **settings)
    assert again.restore() == 2
    again.train(steps=4)
    rows = measured(tmp_path / "run")
    assert [row["step"] for row in rows] == [1, 2, 3, 4]
