"""A setting that changes nothing is none: each of them is seen in what a run leaves or asks."""

import hashlib
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from jumar.config import parse
from jumar.engines.contract import Responses
from jumar.engines.local.models import backbone, load_model
from jumar.engines.local.preparation import scoring_pool
from jumar.engines.local.sampler import Sampling, sample
from jumar.engines.settings import JudgeSettings
from jumar.evaluating import threads
from jumar.evaluation import judge
from jumar.evaluation.evaluate import validation
from jumar.evaluation.judge import Judge
from jumar.verifiers.score import Score, VerifierSpec

from .runs import Here, letters, prepared
from .settings import CHANGED

sys.path.insert(0, str(Path(__file__).parents[1] / "distributed"))
from launching import ended, started

SMALLEST = {"task": "gym:chain_sum", "algorithm": "owpo"}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepared(tmp_path_factory.mktemp("models"))


class Halves(Here):
    """Half a mark for what is right: partial credit is another reward."""

    def score(self, responses: Any, examples: Any) -> list[Score]:
        scores = super().score(responses, examples)
        return [Score(s.score / 2, s.correct, s.status, s.extracted) for s in scores]


def left(home: Path, model: Path, algorithm: str, changes: dict[str, Any]) -> dict[str, Any]:
    """What a run of three steps leaves: weights, moments, numbers and what was said."""
    small = {
        "rollout": {"prompts": 4, "responses": 3, "max_response_tokens": 6, "max_refills": 1},
        "checkpoints": {"every": 1},
    }
    given = {k: {**small.get(k, {}), **changes.get(k, {})} for k in small}
    run = letters.trainer(
        home, model, Halves(), algorithm=algorithm, **{**changes, **given}
    )  # fmt: skip
    run.train(steps=3)
    found = letters.left_by(home)
    for file in [*home.glob("rollouts/*"), *home.glob("diagnostics.jsonl")]:
        lines = letters.lines_of(file) if file.suffix == ".jsonl" else []
        plain = [{k: v for k, v in line.items() if "seconds" not in k} for line in lines]
        found[file.name] = hashlib.sha256(repr(plain).encode()).hexdigest()
    return found


@pytest.mark.slow
@pytest.mark.parametrize("key", CHANGED)
def test_a_changed_setting_changes_what_a_run_leaves(key, place, tmp_path):
    value, beside = CHANGED[key]
    beside = dict(beside)
    algorithm = beside.pop("algorithm", "grpo")
    group, _, leaf = key.rpartition(".")
    changed = {**beside, group: {**beside.get(group, {}), leaf: value}} if group else {key: value}
    if group == "lora":
        pytest.importorskip("peft")
    model = place / "model"
    before = left(tmp_path / "before", model, algorithm, beside)
    assert left(tmp_path / "after", model, algorithm, changed) != before


def test_a_run_computes_with_as_many_threads_as_it_is_told():
    before = torch.get_num_threads()
    for count in (2, 1):
        with threads(count):
            assert torch.get_num_threads() == count
    assert torch.get_num_threads() == before


def test_a_sampler_draws_as_many_rows_at_once_as_it_is_told(place):
    model, _ = load_model(place / "model")
    sizes: list[int] = []
    backbone(model).register_forward_hook(
        lambda module, given, out: sizes.append(len(out.last_hidden_state))
    )
    for rows in (2, 4, 64):
        sizes.clear()
        sample(
            model, [[3, 4], [5, 6]], [1, 2], group=4, sampling=Sampling(), max_tokens=2,
            eos_ids=[1], pad_id=2, seed=0, rows=rows,
        )  # fmt: skip
        assert max(sizes) == min(rows, 8)


def test_the_recipe_decides_on_workers_and_budgets_of_scoring():
    given = {"workers": 1, "cpu_seconds": 0.5, "wall_seconds": 7.0}
    settings = parse({**SMALLEST, "scoring": given}).engine_settings()
    with scoring_pool(VerifierSpec("exact", {}), settings) as pool:
        assert len(pool.worker_pids()) == 1
        assert (pool._cpu_seconds, pool._wall_seconds) == (0.5, 7.0)


class Asked:
    """A policy that remembers what it was asked."""

    def respond(self, examples: Any, **how: Any) -> Responses:
        self.examples, self.how = list(examples), how
        texts = ["a"] * len(self.examples) * how["samples"]
        return Responses(texts=texts, tokens=[1] * len(texts), truncated=[False] * len(texts))


def test_a_run_asks_as_much_as_its_recipe_says():
    examples, policy = letters.task().validation, Asked()
    for prompts, samples, temperature in ((2, 3, 0.5), (4, 1, 1.0)):
        asked = validation(
            Here(), examples[:prompts], None, samples=samples, temperature=temperature, top_p=1.0,
            seed=0, conditions={},
        )  # fmt: skip
        asked(policy, 1)
        assert len(policy.examples) == prompts
        assert (policy.how["samples"], policy.how["temperature"]) == (samples, temperature)


def test_a_judge_is_asked_by_as_many_workers_as_it_has(monkeypatch):
    sizes: list[int] = []
    plain = judge.ThreadPoolExecutor

    def counted(workers: int) -> Any:
        sizes.append(workers)
        return plain(workers)

    monkeypatch.setattr(judge, "ThreadPoolExecutor", counted)
    for workers in (1, 3):
        settings = JudgeSettings(
            url="http://127.0.0.1:9/v1", model="m", workers=workers, retries=0, seconds=1.0
        )
        Judge(settings).opinions([])
    assert sizes == [1, 3]


ALONE = """
from jumar.engines.local.distributed import together
from jumar.engines.settings import DistributedSettings
with together(DistributedSettings(deadline=0.03), "cpu"):
    pass
"""


@pytest.mark.slow
def test_a_process_waits_for_the_others_as_long_as_its_recipe_says():
    (process,) = started(["-c", ALONE], 2, ranks=(0,))
    (found,) = ended([process], seconds=300)
    assert "did not answer for 0.03 minutes" in found.said
