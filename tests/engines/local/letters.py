"""A task that needs no arithmetic: a response is right when most of it sorts before "k"."""

import hashlib
import json
from collections import Counter
from collections.abc import Collection
from pathlib import Path
from typing import Any

import torch
from tokenizers_for_tests import tokenizer
from transformers import LlamaConfig, LlamaForCausalLM

from jumar import algorithms
from jumar.algorithm import Algorithm
from jumar.engines.contract import Estimate
from jumar.engines.local.policy import LocalPolicy
from jumar.engines.local.trainer import LocalTrainer
from jumar.engines.settings import EngineSettings
from jumar.tasks.task import Example, Task
from jumar.verifiers.pool import ScoringPool
from jumar.verifiers.score import VerifierSpec

LETTERS = "abcdefgh"


def reward(response: str, example: dict[str, Any]) -> float:
    return float(sum(c < "k" for c in response) > len(response) / 2)


def task() -> Task:
    rows = [
        Example(
            prompt=f"say {x}{y}", answer=x, response=x * 5, chosen=x * 4, rejected=y * 3, reward=1.0
        )
        for x in LETTERS
        for y in LETTERS
    ]
    verifier = VerifierSpec("function", {"target": f"{__file__}:reward"})
    return Task(
        name="letters", train=rows[:48], validation=rows[48:56], test=rows[56:], verifier=verifier
    )


def write_model(directory: Path, seed: int = 0) -> Path:
    """A Llama of some thousand random parameters with a tokenizer of single characters."""
    text = tokenizer()
    config = LlamaConfig(
        vocab_size=len(text), hidden_size=32, intermediate_size=48, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=1, max_position_embeddings=64,
        bos_token_id=0, eos_token_id=1, pad_token_id=2,
    )  # fmt: skip
    torch.manual_seed(seed)
    LlamaForCausalLM(config).save_pretrained(directory)
    text.save_pretrained(directory)
    return directory


class Log:
    """An observer that remembers, and can stop a run after a step as ctrl-C would."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.steps: dict[int, dict[str, float]] = {}
        self.phases: list[str] = []
        self.calls = 0
        self.stop_after = stop_after

    def on_phase(self, text: str) -> None:
        self.phases.append(text)
        self.called()

    def on_step(self, step: int, total: int | None, metrics: Any) -> None:
        self.steps[step] = dict(metrics)
        if step == self.stop_after:
            raise KeyboardInterrupt
        self.called()

    def on_validation(self, step: int, estimates: Any) -> None:
        self.called()

    def called(self) -> None:
        self.calls += 1


SETTINGS = {
    "rollout": {"prompts": 6, "responses": 4, "max_response_tokens": 10, "max_refills": 1},
    "optimiser": {"learning_rate": 3e-3, "critic_learning_rate": 3e-3},
    "evaluation": {"every": 2},
    "checkpoints": {"every": 2},
}


def settings(**changes: Any) -> EngineSettings:
    """The settings above; a change names its group: rollout={"prompts": 3}."""
    merged = {k: {**SETTINGS.get(k, {}), **changes.pop(k, {})} for k in list(SETTINGS)}
    return EngineSettings.model_validate({**merged, **changes})


def trainer(
    directory: Path, model: Path, pool: ScoringPool, *,
    algorithm: str | Algorithm = "grpo", log: Log | None = None,
    reference: str | None = "same", teacher: Any = None, made: Collection[str] = (),
    rows: int = 64, examples: Task | None = None, **changes: Any,
) -> LocalTrainer:  # fmt: skip
    """A trainer over the letters; `changes` are settings."""
    from jumar.engines.local.models import load_model
    from jumar.engines.local.sharding import shard

    chosen = settings(**changes)
    weights, text = load_model(model, dtype=chosen.loading.dtype)
    if chosen.distributed.sharding == "full":
        weights = shard(weights)
    letters = examples or task()
    policy = LocalPolicy(
        weights, text, letters.template, chosen.loading, max_prompt_tokens=20,
        max_response_tokens=chosen.rollout.max_response_tokens, rows=rows,
    )  # fmt: skip

    def validation(policy: LocalPolicy, step: int) -> dict[str, Estimate]:
        said = policy.respond(letters.validation, samples=2, temperature=1.0, top_p=1.0, seed=1)
        asked = [example for example in letters.validation for _ in range(2)]
        score = sum(s.correct for s in pool.score(said.texts, asked)) / len(asked)
        return {"pass@1": Estimate(score, score, score)}

    directory.mkdir(exist_ok=True)
    return LocalTrainer(
        directory=directory,
        policy=policy,
        start=str(model),
        reference=str(model) if reference == "same" else reference,
        teacher=teacher,
        task=letters,
        pool=pool,
        algorithm=algorithms.get(algorithm) if isinstance(algorithm, str) else algorithm,
        settings=chosen,
        validation=validation,
        observer=log or Log(),
        made=made,
    )


def weights_of(directory: Path) -> bytes:
    return (directory / "model.safetensors").read_bytes()


def lines_of(metrics: Path) -> list[dict[str, Any]]:
    """Lines of a metrics.jsonl without what a clock said."""
    rows = [json.loads(line) for line in metrics.read_text().splitlines()]
    timed = ("time/", "tokens_per_second")
    return [{k: v for k, v in row.items() if not k.startswith(timed)} for row in rows]


def left_by(directory: Path) -> dict[str, Any]:
    """Every weight, moment, batch and signal of a run, bit for bit, and every line of metrics."""
    files = sorted(path for path in directory.rglob("*") if path.is_file())
    found: dict[str, Any] = {}
    for file in files:
        name = file.relative_to(directory).as_posix()
        if file.suffix == ".safetensors":
            found[name] = hashlib.sha256(file.read_bytes()).hexdigest()
        elif file.name == "metrics.jsonl":
            found[name] = lines_of(file)
    return found


def counted(texts: list[str]) -> Counter[str]:
    return Counter(texts)


class Dying:
    """A scoring pool that counts, and stops the run as ctrl-C would when it is asked so often."""

    def __init__(self, pool: ScoringPool, stop_at: int | None = None) -> None:
        self.pool, self.verifier = pool, pool.verifier
        self.calls, self.stop_at = 0, stop_at

    def score(self, responses: Any, examples: Any) -> Any:
        self.calls += 1
        if self.calls == self.stop_at:
            raise KeyboardInterrupt
        return self.pool.score(responses, examples)

    def begin(self, responses: Any, examples: Any) -> Any:
        return self.pool.begin(responses, examples)
