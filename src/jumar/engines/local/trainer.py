"""The local trainer: one process, verbs that programs call, a state that can be taken up again.

Everything that a step does is a function of (seed, step) and of what a checkpoint holds: weights,
optimiser moments, the position in the prompt order, the algorithm's own state. No global random
state is read, so a run that was killed continues bit for bit.
"""

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from jumar.algorithm import Algorithm
from jumar.engines.contract import Observer, Stage, Validation
from jumar.engines.local import checkpoint
from jumar.engines.local.curriculum import PromptOrder
from jumar.engines.local.journal import Journal
from jumar.engines.local.models import load_critic, load_model, new_critic, save_model
from jumar.engines.local.optimiser import new_adamw
from jumar.engines.local.policy import LocalPolicy
from jumar.engines.local.records import Records
from jumar.engines.local.rollouts import Collector
from jumar.engines.local.update import Models, Updater
from jumar.engines.settings import EngineSettings
from jumar.errors import ConfigurationError
from jumar.schedules import Schedule
from jumar.tasks.task import Task
from jumar.types import COLUMNS, State
from jumar.verifiers.pool import ScoringPool

PROVIDED_HERE = frozenset(
    {"old_logprobs", "rollout_logprobs", "ref_logprobs", "teacher_logprobs", "values", "old_values"}
)


class LocalTrainer:
    """Implements `contract.Trainer` on this machine."""

    def __init__(
        self,
        *,
        directory: Path,
        policy: LocalPolicy,
        reference: str | None,
        teacher: str | None,
        task: Task,
        pool: ScoringPool,
        algorithm: Algorithm,
        settings: EngineSettings,
        validation: Validation,
        observer: Observer,
        total_steps: int | None = None,
    ) -> None:
        check_provided(
            algorithm, reference=reference, teacher=teacher, source=settings.rollout.source
        )
        self.directory, self.settings, self.algorithm = directory, settings, algorithm
        self.policy, self._reference_name = policy, reference
        self._validation, self._observer, self._total = validation, observer, total_steps
        self.step, self._planned = 0, 0
        self._state: State = algorithm.init_state()
        stored = settings.rollout.source == "dataset"
        self._order = PromptOrder(task.train, settings.seed, stored=stored)
        self._journal = Journal(directory / "stages")
        self._records = Records(directory)
        self._best: dict[str, Any] = {}  # of the current stage: score and step
        self._last_score: tuple[int, float | None] = (-1, None)  # (step, validation score)
        self._models, self._loaded = Models(policy=policy.model), ""
        if teacher is not None and _needs(algorithm, "teacher"):
            self._models.teacher = self._frozen(teacher, "teacher")
        self._measure_against(reference)
        if algorithm.value_loss is not None:
            self._models.critic = new_critic(policy.model)
        self._optimisers = self._new_optimisers()
        self._collector = Collector(
            policy=policy, pool=pool, algorithm=algorithm, settings=settings
        )
        self._updater = Updater(
            algorithm=algorithm, models=self._models, settings=settings,
            optimisers=list(self._optimisers.values()), directory=directory,
        )  # fmt: skip

    # ------------------------------------------------------------------ verbs

    def train(self, *, steps: int, reference: Path | None = None) -> Stage:
        """Train for `steps` against `reference`, or against the run's own where None."""
        first, self._planned = self._planned, self._planned + steps
        name = self._reference_name if reference is None else str(reference)
        relative = name if reference is None else str(reference.relative_to(self.directory))
        entry = self._journal.open("train", {"steps": steps, "reference": relative})
        if entry.result is not None:
            return _stage(self.directory, entry.result)
        self._measure_against(name)
        if self.step == first:
            self._best = {}
        while self.step < self._planned:
            self._advance(first, entry.directory)
        result = self._finish_stage(first, entry.directory)
        entry.finish(result)
        return _stage(self.directory, result)

    def _advance(self, first: int, stage: Path) -> None:
        start = perf_counter()
        now = self.step + 1
        rollout, numbers = self._collector.collect(
            self._order, step=now, stage_step=self.step - first
        )
        sampled = perf_counter()
        rate = learning_rate_factor(self.settings, self.step)
        if rollout is not None:
            self._set_learning_rates(rate)
            self._state, trained = self._updater.update(rollout, self._state)
            numbers |= trained
            if (every := self.settings.checkpoints.rollouts_every) and now % every == 0:
                self._records.write_rollout(now, rollout)
        self.step = now
        end = perf_counter()
        numbers |= {
            "learning_rate": rate * self.settings.optimiser.learning_rate,
            "time/update": end - sampled,
            "time/step": end - start,
            "tokens_per_second": numbers["sampled_tokens"] / (end - start),
        }
        digest = rollout.digest() if rollout is not None else None
        self._records.append(now, numbers, digest)
        self._observer.on_step(now, self._total, numbers)
        if (every := self.settings.evaluation.every) and now % every == 0:
            self._validate(stage)
        if now % self.settings.checkpoints.every == 0 or now == self._planned:
            self._save()

    def _validate(self, stage: Path) -> None:
        estimates = self._validation(self.policy, self.step)
        self._records.append_validation(self.step, estimates)
        self._observer.on_validation(self.step, estimates)
        score = estimates["pass@1"].value
        if score > self._best.get("score", -math.inf):
            self._best = {"score": score, "step": self.step}
            checkpoint.replace_directory(stage / "best", self.policy.save)
        self._last_score = (self.step, score)

    def _finish_stage(self, first: int, stage: Path) -> dict[str, Any]:
        checkpoint.replace_directory(stage / "last", self.policy.save)
        last_step, last_score = self._last_score
        best = stage / ("best" if self._best else "last")
        return {
            "first_step": first,
            "last_step": self.step,
            "last": str((stage / "last").relative_to(self.directory)),
            "best": str(best.relative_to(self.directory)),
            "last_score": last_score if last_step == self.step else None,
            "best_score": self._best.get("score"),
        }

    def _measure_against(self, name: str | None) -> None:
        if name is not None and name != self._loaded and _needs(self.algorithm, "reference"):
            self._models.reference, self._loaded = self._frozen(name, "reference"), name

    def _frozen(self, name: str, role: str) -> torch.nn.Module:
        settings = self.settings.loading
        device = next(self.policy.model.parameters()).device
        model, tokenizer = load_model(
            resolved_model(name),
            dtype=settings.dtype,
            device=str(device),
            attention=settings.attention,
        )
        if tokenizer.get_vocab() != self.policy.tokenizer.get_vocab():
            raise ConfigurationError(
                f"The {role} {name} has another tokenizer than the policy, but it is asked for the "
                "log-probs of the policy's own tokens. The same ids would be other words to it. "
                f"Choose a {role} with the policy's tokenizer."
            )
        return model.requires_grad_(False)

    def _new_optimisers(self) -> dict[str, torch.optim.AdamW]:
        settings = self.settings.optimiser
        rates = {"policy": settings.learning_rate, "critic": settings.critic_learning_rate}
        models = {"policy": self.policy.model, "critic": self._models.critic}
        return {
            name: new_adamw(
                model, lr=rates[name], betas=settings.betas, eps=settings.eps,
                weight_decay=settings.weight_decay,
            )
            for name, model in models.items()
            if model is not None
        }  # fmt: skip

    def _set_learning_rates(self, factor: float) -> None:
        settings = self.settings.optimiser
        rates = {"policy": settings.learning_rate, "critic": settings.critic_learning_rate}
        for name, optimiser in self._optimisers.items():
            for group in optimiser.param_groups:
                group["lr"] = factor * rates[name]

    # ------------------------------------------------------------------ down and up again

    def _save(self) -> None:
        def write(path: Path) -> None:
            self.policy.save(path / "model")
            if self._models.critic is not None:
                save_model(self._models.critic, self.policy.tokenizer, path / "critic")
            for name, model, optimiser in self._trained():
                tensors = checkpoint.optimiser_tensors(model, optimiser)
                save_file(tensors, path / f"{name}-optimiser.safetensors")
            save_file(dict(self._state), path / "algorithm-state.safetensors")
            state = {
                "step": self.step,
                "position": self._order.position,
                "best": self._best,
                "last_score": self._last_score,
            }
            (path / "state.json").write_text(json.dumps(state))

        settings, root = self.settings.checkpoints, self.directory / "checkpoints"
        score = self._last_score[1] if self._last_score[0] == self.step else None
        checkpoint.save(root, self.step, write, score=score)
        checkpoint.prune(root, keep_last=settings.keep_last, keep_best=settings.keep_best)

    def restore(self) -> int:
        """Take up the newest complete checkpoint, if there is one; the step it was made at."""
        path = checkpoint.newest(self.directory / "checkpoints")
        if path is None:
            self._records.truncate(0)
            return 0
        state = json.loads((path / "state.json").read_text())
        model, _ = load_model(path / "model", dtype=self.settings.loading.dtype)
        self.policy.model.load_state_dict(model.state_dict())
        if self._models.critic is not None:
            critic = load_critic(path / "critic", self.policy.model)
            self._models.critic.load_state_dict(critic.state_dict())
        for name, trained, optimiser in self._trained():
            tensors = load_file(path / f"{name}-optimiser.safetensors")
            checkpoint.load_optimiser(trained, optimiser, tensors)
        self._state = load_file(path / "algorithm-state.safetensors")
        self.step, self._order.position = state["step"], state["position"]
        self._best, self._last_score = state["best"], tuple(state["last_score"])
        self._records.truncate(self.step)
        return self.step

    def _trained(self) -> Iterator[tuple[str, torch.nn.Module, torch.optim.AdamW]]:
        models = {"policy": self.policy.model, "critic": self._models.critic}
        for name, optimiser in self._optimisers.items():
            model = models[name]
            assert model is not None
            yield name, model, optimiser


def _needs(algorithm: Algorithm, target: str) -> bool:
    column = {"reference": "ref_logprobs", "teacher": "teacher_logprobs"}[target]
    asked = {divergence.target for divergence in algorithm.divergences}
    return column in algorithm.reads or target in asked


def check_provided(
    algorithm: Algorithm, *, reference: str | None, teacher: str | None, source: str
) -> None:
    """Refuse before step 0 what would fail in it."""
    if algorithm.rows == "stored" and source == "policy":
        raise ConfigurationError(
            f"`{algorithm.name}` learns from stored responses or pairs, but rollout.source is "
            "policy, so it would be taught its own samples. Set rollout.source=dataset and name a "
            "task whose rows have `response`, or `chosen` and `rejected`."
        )
    for target, given in (("reference", reference), ("teacher", teacher)):
        if given is None and _needs(algorithm, target):
            raise ConfigurationError(
                f"`{algorithm.name}` reads the {target}, but the local engine was started without "
                f"one. Its loss compares the policy with it. Set {target}: to a model directory, a "
                f"run{' or initial' if target == 'reference' else ''}, or choose an algorithm that "
                "reads none."
            )
    missing = algorithm.reads - PROVIDED_HERE
    if missing:
        names = ", ".join(f"`{name}` ({COLUMNS[name].meaning})" for name in sorted(missing))
        raise ConfigurationError(
            f"`{algorithm.name}` reads {names}, which the local engine's `train` does not provide. "
            "Without it the loss has nothing to compare with. Run the program that makes it, or "
            "choose an algorithm that does not read it."
        )


def learning_rate_factor(settings: EngineSettings, step: int) -> float:
    """What the learning rates are multiplied by in the step after `step` steps."""
    optimiser = settings.optimiser
    warm = min(1.0, (step + 1) / optimiser.warmup_steps) if optimiser.warmup_steps else 1.0
    if optimiser.decay == "constant" or optimiser.decay_steps is None:
        return warm
    shape = Schedule(start=1.0, end=0.0, steps=optimiser.decay_steps, shape=optimiser.decay)
    return warm * shape.at(step=step, stage_step=step)


def resolved_model(name: str) -> str:
    """A model directory from a run or checkpoint directory; any other name as it is."""
    for inside in ("final", "model"):
        if (Path(name) / inside / "config.json").is_file():
            return str(Path(name) / inside)
    return name


def _stage(directory: Path, result: Mapping[str, Any]) -> Stage:
    paths = {name: directory / result[name] for name in ("last", "best")}
    return Stage(**{**result, **paths})
