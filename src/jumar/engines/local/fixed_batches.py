"""Verbs on a fixed batch: sample it, fit copies of the policy to it, compare what they became."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from torch import Tensor, nn

from jumar import algorithms
from jumar.algorithm import Algorithm
from jumar.engines.contract import Fit, Observer, ReferenceRewards, Side
from jumar.engines.local import checkpoint
from jumar.engines.local.anchors import load_frozen
from jumar.engines.local.curriculum import PromptOrder
from jumar.engines.local.distributed import from_main
from jumar.engines.local.fitting import Fitting, snapshot
from jumar.engines.local.forward import response_logprobs
from jumar.engines.local.journal import Journal
from jumar.engines.local.lora import keeping_adapter, restore_policy
from jumar.engines.local.models import is_adapted, load_model, new_critic
from jumar.engines.local.policy import LocalPolicy
from jumar.engines.local.provision import Teacher, check_provided, needs, teachers
from jumar.engines.local.reference_rewards import RewardStore
from jumar.engines.local.rollouts import Collector
from jumar.engines.local.sampler import Sampling
from jumar.engines.local.sharding import is_sharded, shard_like
from jumar.engines.local.stored import FixedBatch, read_column, write_column
from jumar.engines.local.trained import Trained
from jumar.engines.local.update import Models, Updater
from jumar.engines.settings import EngineSettings
from jumar.errors import ConfigurationError
from jumar.tasks.task import Example, without_repeats
from jumar.verifiers.pool import ScoringPool


@dataclass(frozen=True, slots=True, kw_only=True)
class FixedBatches:
    """Journaled like the trainer's other verbs; the policy itself is only ever read."""

    directory: Path
    policy: LocalPolicy
    pool: ScoringPool
    algorithm: Algorithm  # the run's
    reference: str | None  # the run's
    teacher: Teacher  # the run's
    settings: EngineSettings
    order: PromptOrder
    journal: Journal
    observer: Observer

    def sample(self, *, prompts: int, responses: int, step: int) -> Path:
        """`responses` of the policy to each of the next `prompts`, scored; nothing is filtered."""
        entry = self.journal.open("sample", {"prompts": prompts, "responses": responses})
        if entry.result is not None:  # a checkpoint may be older than this call
            self.order.position = max(self.order.position, entry.result["position"])
            checkpoint.remove_directory(entry.directory / "parts")
            return entry.directory / "batch"
        examples = self.order.next(prompts)
        self.observer.on_phase(f"Sampling a fixed batch: {responses} x {len(examples)} prompts.")
        size = max(1, self.policy.rows // responses)
        chunks = [examples[at : at + size] for at in range(0, len(examples), size)]
        parts = []
        for number, chunk in enumerate(chunks):
            path = entry.directory / "parts" / f"{number:05d}"
            if not from_main(path.is_dir):
                self._collect(chunk, responses, step, draw=-2 - entry.number).write(path)
            parts.append(FixedBatch.read(path, self._device))
        batch = FixedBatch.concat(parts)
        batch.write(entry.directory / "batch")
        entry.finish(
            {
                "position": self.order.position,
                "seconds": batch.seconds,
                "sampled_tokens": int(batch.batch.mask.sum()),
                "pass@1": float(batch.batch.correct.float().mean()),
            }
        )
        checkpoint.remove_directory(entry.directory / "parts")
        return entry.directory / "batch"

    def reference_rewards(self, *, samples: int, seed: int = 0) -> ReferenceRewards:
        """What `samples` responses of the run's reference earn on every training prompt."""
        entry = self.journal.open("reference_rewards", {"samples": samples, "seed": seed})
        if self.reference is None:
            raise ConfigurationError(
                "The program samples the reference, but the run has none. Its rewards are what the "
                "policy is compared with. Set reference: to initial, a model directory or a run."
            )
        model = load_frozen(self.reference, "reference", self.policy, self.settings.loading)
        store = RewardStore(
            reference=self.policy.with_model(model),
            examples=without_repeats(self.order.examples),
            pool=self.pool,
            settings=self.settings,
            samples=samples,
            seed=seed,
            observer=self.observer,
        )
        found, cost = store.get()
        if entry.result is None:
            entry.finish(cost)
        return found

    def fit(
        self,
        rollout: Path,
        *,
        steps: int,
        prompts: int,
        algorithm: Mapping[str, Any] | None = None,
        start: Path | None = None,
        reference: Path | None = None,
        signal: Path | None = None,
        learning_rate: float | None = None,
        snapshots: Collection[int] = (),
    ) -> Fit:
        """A copy of the policy (or of `start`) after `steps` on a fixed batch."""
        chosen = algorithms.get(**algorithm) if algorithm else self.algorithm
        entry = self.journal.open(
            "fit",
            {
                "rollout": self._relative(rollout),
                "steps": steps,
                "prompts": prompts,
                "algorithm": dict(algorithm) if algorithm else None,
                "start": self._relative(start),
                "reference": self._relative(reference),
                "signal": self._relative(signal),
                "learning_rate": learning_rate,
                "snapshots": sorted(snapshots),
            },
        )
        if entry.result is None:
            checkpoint.verify_all(start, reference)
            self.observer.on_phase(f"Fitting {chosen.name} to the fixed batch, {steps} steps.")
            batch = FixedBatch.read(rollout, self._device)
            extra = read_column(signal, self._device) if signal else {}
            self._check(chosen, reference, {*batch.batch.columns, *extra})
            batch = replace(batch, batch=batch.batch.with_columns(**extra))
            with keeping_adapter(self.policy.model):
                updater, trained = self._updater(
                    entry.directory, chosen, start, reference, learning_rate
                )
                seconds = Fitting(
                    updater=updater, trained=trained, rollout=batch,
                    tokenizer=self.policy.tokenizer, directory=entry.directory,
                    observer=self.observer, prompts=prompts,
                ).run(steps, snapshots)  # fmt: skip
            entry.finish({"seconds": seconds})
        for done in ("checkpoints", "start"):
            checkpoint.remove_directory(entry.directory / done)
        saved = {at: snapshot(entry.directory, at) for at in sorted(snapshots) if at <= steps}
        return Fit(steps=steps, last=entry.directory / "last", snapshots=saved)

    def log_ratio(self, rollout: Path, *, numerator: Side = None, denominator: Side = None) -> Path:
        """The numerator's log-prob minus the denominator's at each token, kept as a column."""
        sides = {"numerator": numerator, "denominator": denominator}
        entry = self.journal.open(
            "log_ratio",
            {"rollout": self._relative(rollout)}
            | {name: self._relative(path) for name, path in sides.items()},
        )
        if entry.result is None:
            start = perf_counter()
            batch = FixedBatch.read(rollout, self._device)
            above, below = (self._logprobs(path, batch) for path in sides.values())
            write_column(entry.directory / "signal", "signal", above - below)
            entry.finish({"seconds": perf_counter() - start})
        return entry.directory / "signal"

    # ------------------------------------------------------------------ parts

    @property
    def _device(self) -> torch.device:
        return next(self.policy.model.parameters()).device

    @property
    def _sampling(self) -> Sampling:
        rollout = self.settings.rollout
        return Sampling(temperature=rollout.temperature, top_p=rollout.top_p, top_k=rollout.top_k)

    def _relative(self, path: Side) -> str | None:
        return str(path.relative_to(self.directory)) if isinstance(path, Path) else path

    def _collect(
        self, examples: Sequence[Example], responses: int, step: int, draw: int
    ) -> FixedBatch:
        start = perf_counter()
        names = list(teachers(self.teacher))
        collector = Collector(
            policy=self.policy, pool=self.pool, algorithm=self.algorithm, settings=self.settings,
            teachers=names if len(names) > 1 else (),
        )  # fmt: skip
        rollout = collector.rollout(
            examples, step=draw, stage_step=0, times=defaultdict(float), responses=responses
        )
        stored = FixedBatch.of(rollout)
        with torch.no_grad():
            old = self._of_model(self.policy.model, stored)
        batch = replace(stored.batch.with_columns(old_logprobs=old), step=step)
        return replace(stored, batch=batch, seconds=perf_counter() - start)

    def _logprobs(self, model: Side, batch: FixedBatch) -> Tensor:
        """[B, T] nats. The model is loaded, asked once and let go."""
        if model is None:
            return batch.batch.old_logprobs
        if model == "nothing":
            return torch.zeros_like(batch.batch.old_logprobs)
        checkpoint.verify(Path(model))
        frozen = load_frozen(model, "side of the log-ratio", self.policy, self.settings.loading)
        with torch.no_grad():
            return self._of_model(frozen, batch)

    def _of_model(self, model: nn.Module, batch: FixedBatch) -> Tensor:
        rows = batch.prompts, batch.batch.token_ids, batch.batch.mask
        limit = self.settings.optimiser.micro_batch_tokens
        return response_logprobs(model, *rows, sampling=self._sampling, tokens=limit)

    def _check(self, algorithm: Algorithm, reference: Path | None, there: set[str]) -> None:
        check_provided(
            algorithm,
            reference=str(reference) if reference else self.reference,
            teacher=self.teacher,
            source="dataset",  # a fixed batch is one
            made=there,
        )

    def _copy(self, directory: Path, start: Path | None) -> nn.Module:
        """A model like the policy, with the weights of `start` or else the policy's; an adapter
        stays where it is: `keeping_adapter`.
        """
        policy, loading = self.policy.model, self.settings.loading
        if is_adapted(policy):
            if start is not None:
                restore_policy(policy, start, loading.dtype)
            return policy
        if start is None and not is_sharded(policy):
            return deepcopy(policy)
        if start is None:  # what is dealt over processes cannot be copied, but it can be saved
            start = directory / "start"
            checkpoint.replace_directory(start, self.policy.writer())
        model, _ = load_model(
            start, dtype=loading.dtype, device=loading.device, attention=loading.attention,
            gradient_checkpointing=loading.gradient_checkpointing,
        )  # fmt: skip
        copied: nn.Module = shard_like(model, policy)
        return copied

    def _updater(
        self,
        directory: Path,
        algorithm: Algorithm,
        start: Path | None,
        reference: Path | None,
        learning_rate: float | None,
    ) -> tuple[Updater, Trained]:
        """A copy of the policy with what the algorithm compares it with."""
        loading = self.settings.loading
        policy = self._copy(directory, start)
        models = Models(policy=policy)
        anchor = reference or self.reference
        if anchor is not None and needs(algorithm, "reference"):
            models.reference = load_frozen(anchor, "reference", self.policy, loading)
        if needs(algorithm, "teacher"):
            names = teachers(self.teacher).values()
            models.teachers = [load_frozen(n, "teacher", self.policy, loading) for n in names]
        if algorithm.value_loss is not None:
            models.critic = shard_like(new_critic(policy), policy)
        trained = Trained(
            policy, models.critic, self.settings.optimiser, learning_rate=learning_rate
        )
        updater = Updater(
            algorithm=algorithm, models=models, settings=self.settings,
            optimisers=list(trained.optimisers.values()), directory=directory,
        )  # fmt: skip
        return updater, trained
