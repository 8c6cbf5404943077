"""The local trainer: one process, verbs that programs call, a state that can be taken up again.

Everything that a step does is a function of (seed, step) and of what a checkpoint holds: weights,
optimiser moments, the position in the prompt order, the algorithm's own state. No global random
state is read, so a run that was killed continues bit for bit.
"""

import json
import math
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Any

from safetensors.torch import load_file, save_file

from jumar import algorithms
from jumar.algorithm import Algorithm
from jumar.correction import corrected
from jumar.engines.contract import Fit, Observer, ReferenceRewards, Stage, Validation
from jumar.engines.local import checkpoint
from jumar.engines.local.anchors import Anchors
from jumar.engines.local.curriculum import PromptOrder
from jumar.engines.local.diagnostics import spelled
from jumar.engines.local.distributed import is_main
from jumar.engines.local.fixed_batches import FixedBatches
from jumar.engines.local.inputs import check_inputs, check_own, inputs
from jumar.engines.local.journal import Journal, digest
from jumar.engines.local.lora import add_adapter, restore_policy
from jumar.engines.local.models import new_critic
from jumar.engines.local.on_demand import OnDemand
from jumar.engines.local.policy import LocalPolicy
from jumar.engines.local.provision import Teacher, check_provided, teachers
from jumar.engines.local.records import Records
from jumar.engines.local.rollouts import Collector
from jumar.engines.local.sharding import shard_like
from jumar.engines.local.trained import Trained, learning_rate_factor
from jumar.engines.local.update import Models, Updater
from jumar.engines.settings import EngineSettings
from jumar.tasks.task import Task
from jumar.types import State
from jumar.verifiers.pool import ScoringPool


class LocalTrainer:
    """Implements `contract.Trainer` on this machine."""

    def __init__(
        self,
        *,
        directory: Path,
        policy: LocalPolicy,
        start: str,
        reference: str | None,
        teacher: Teacher,
        task: Task,
        pool: ScoringPool,
        algorithm: Algorithm,
        settings: EngineSettings,
        validation: Validation,
        observer: Observer,
        made: Collection[str] = (),
        total_steps: int | None = None,
    ) -> None:
        """`start` is the model that the policy begins as; `made` are the columns that the program
        makes for its algorithm.
        """
        others = {*teachers(teacher).values(), reference} - {None, start}
        self._inputs = inputs(
            policy, task, pool.verifier, settings, algorithm=repr(algorithm),
            others=sorted(map(str, others)),
        )  # fmt: skip
        if settings.lora.rank is not None:
            add_adapter(policy.model, settings.lora, base=start, seed=settings.seed)
        self.directory, self.settings, self.algorithm = directory, settings, algorithm
        self.policy, self._pool, self._made = policy, pool, made
        self._reference_name, self._teacher = reference, teacher
        self._validation, self._observer, self._total = validation, observer, total_steps
        self.step, self._planned = 0, 0
        stored = settings.rollout.source == "dataset"
        self._examples = task.train[: settings.rollout.only_prompts]
        self._order = PromptOrder(self._examples, settings.seed, stored=stored)
        self._journal = Journal(directory / "stages")
        self._records = Records(directory, writes=is_main())
        self._best: dict[str, Any] = {}  # of the current stage: score and step
        self._last_score: tuple[int, float | None] = (-1, None)  # (step, validation score)
        self._models = Models(policy=policy.model)
        self._anchors = Anchors(self._models, policy, settings.loading)
        self._wanted: Mapping[str, Any] | None = None  # the algorithm that a verb named
        self._used = False  # whether `train` has changed the algorithm's state or its critic
        self._stale = False  # whether they were let go and have to be made anew
        self._on_demand = OnDemand(
            start=start, policy=policy, pool=pool, settings=settings, observer=observer,
            examples=task.validation[: settings.diagnostics.prompts],
        )  # fmt: skip
        self._use(algorithm)
        self._anchors.load(algorithm, reference, teacher)  # refused now rather than hours later
        self._fixed = FixedBatches(
            directory=directory, policy=policy, pool=pool, algorithm=algorithm,
            reference=reference, teacher=teacher, settings=settings, order=self._order,
            journal=self._journal, observer=observer,
        )  # fmt: skip

    def _use(self, algorithm: Algorithm) -> None:
        """Train with this one from now on; its state and its critic begin anew."""
        algorithm = corrected(algorithm, **dict(self.settings.correction))
        check_provided(
            algorithm, reference=self._reference_name, teacher=self._teacher,
            source=self.settings.rollout.source, made=self._made,
        )  # fmt: skip
        self._current = algorithm
        self._state: State = algorithm.init_state()
        self._stale = False
        has_critic = algorithm.value_loss is not None
        critic = new_critic(self.policy.model) if has_critic else None
        self._models.critic = None if critic is None else shard_like(critic, self.policy.model)
        self._trained = Trained(self.policy.model, self._models.critic, self.settings.optimiser)
        names = list(teachers(self._teacher))
        self._collector = Collector(
            policy=self.policy, pool=self._pool, algorithm=algorithm, settings=self.settings,
            teachers=names if len(names) > 1 else (),
        )  # fmt: skip
        self._updater = Updater(
            algorithm=algorithm,
            models=self._models,
            settings=self.settings,
            optimisers=list(self._trained.optimisers.values()),
            directory=self.directory,
        )

    # ------------------------------------------------------------------ training on own samples

    def train(
        self,
        *,
        steps: int,
        algorithm: Mapping[str, Any] | None = None,
        reference: Path | None = None,
        teacher: Path | None = None,
        values: Mapping[str, Mapping[int, float]] | None = None,
        without: Collection[int] = (),
    ) -> Stage:
        """Train for `steps` against `reference` and `teacher`, or the run's own where None."""
        first, self._planned = self._planned, self._planned + steps
        name = self._reference_name if reference is None else str(reference)
        entry = self._journal.open(
            "train",
            {
                "steps": steps,
                "reference": name if reference is None else self._relative(reference),
                **({"teacher": self._relative(teacher)} if teacher else {}),
                **({"algorithm": dict(algorithm)} if algorithm else {}),
                **({"values": digest(values)} if values else {}),
                **({"without": digest(sorted(without))} if without else {}),
            },
        )
        if entry.result is not None and self.step >= self._planned:
            return self._stage(entry.result)
        checkpoint.verify_all(reference, teacher)
        self._switch(algorithm)
        taught_by = self._teacher if teacher is None else str(teacher)
        self._anchors.load(self._current, name, taught_by)
        self._collector = replace(self._collector, values=values or {}, without=without)
        self._used = True
        if self.step == first:
            self._best = {}
        while self.step < self._planned:
            self._advance(first, entry.directory)
        result = self._finish_stage(first, entry.directory)
        entry.finish(result)
        return self._stage(result)

    def _switch(self, wanted: Mapping[str, Any] | None) -> None:
        """Use the algorithm that a verb names; None is the run's."""
        wanted = dict(wanted) if wanted else None
        if self._stale or wanted != self._wanted:
            self._use(algorithms.get(**wanted) if wanted else self.algorithm)
            self._wanted = wanted

    def _advance(self, first: int, stage: Path) -> None:
        start = perf_counter()
        now = self.step + 1
        rollout, numbers = self._collector.collect(
            self._order, step=now, stage_step=self.step - first
        )
        sampled = perf_counter()
        rate = learning_rate_factor(self.settings.optimiser, self.step)
        if rollout is not None:
            every = self.settings.checkpoints.rollouts_every
            kept = every > 0 and now % every == 0
            watch = rollout.first_rows(self.settings.checkpoints.token_groups) if kept else ()
            self._trained.scale_learning_rates(rate)
            self._state, trained = self._updater.update(
                rollout.batch, rollout.prompts, self._state, watch
            )
            numbers |= trained | self.policy.synchronise()
            if kept:
                self._records.write_rollout(
                    now,
                    rollout,
                    spelled(rollout.batch, self._updater.watched, self.policy.tokenizer),
                )
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
        for what in self._on_demand.due(now):
            found = self._on_demand.measure(what, now, self._updater, self._state)
            self._records.append_diagnostics(now, what, found)
        if now % self.settings.checkpoints.every == 0 or now == self._planned:
            self._save()

    def _validate(self, stage: Path) -> None:
        estimates = self._validation(self.policy, self.step)
        self._records.append_validation(self.step, estimates)
        self._observer.on_validation(self.step, estimates)
        score = estimates["pass@1"].value
        if score > self._best.get("score", -math.inf):
            self._best = {"score": score, "step": self.step}
            checkpoint.replace_directory(stage / "best", self.policy.writer())
        self._last_score = (self.step, score)

    def _finish_stage(self, first: int, stage: Path) -> dict[str, Any]:
        checkpoint.replace_directory(stage / "last", self.policy.writer())
        last_step, last_score = self._last_score
        best = stage / ("best" if self._best else "last")
        return {
            "first_step": first,
            "last_step": self.step,
            "last": self._relative(stage / "last"),
            "best": self._relative(best),
            "last_score": last_score if last_step == self.step else None,
            "best_score": self._best.get("score"),
        }

    # ------------------------------------------------------------------ fixed batches

    def reference_rewards(self, *, samples: int, seed: int = 0) -> ReferenceRewards:
        """See `FixedBatches`."""
        return self._fixed.reference_rewards(samples=samples, seed=seed)

    def sample(self, *, prompts: int, responses: int) -> Path:
        """See `FixedBatches`."""
        self._let_go()
        return self._fixed.sample(prompts=prompts, responses=responses, step=self._planned)

    def fit(self, rollout: Path, **options: Any) -> Fit:
        """See `FixedBatches`."""
        self._let_go()
        return self._fixed.fit(rollout, **options)

    def log_ratio(self, rollout: Path, **options: Any) -> Path:
        """See `FixedBatches`."""
        self._let_go()
        return self._fixed.log_ratio(rollout, **options)

    def adopt(self, model: Path, *, steps: int) -> Stage:
        """The policy is `model` from now on, with new moments; it counts as `steps` of training."""
        first, self._planned = self._planned, self._planned + steps
        entry = self._journal.open("adopt", {"model": self._relative(model), "steps": steps})
        if entry.result is None or self.step < self._planned:
            if self.step < self._planned:  # else a checkpoint holds it already
                checkpoint.verify(model)
                self._best = {}
                restore_policy(self.policy.model, model, self.settings.loading.dtype)
                self.policy.synchronise()
                self._trained.forget_moments()
                self.step = self._planned
                if self.settings.evaluation.every:
                    self._validate(entry.directory)
                self._save()
            result = self._finish_stage(first, entry.directory)
            entry.finish(result)
            return self._stage(result)
        return self._stage(entry.result)

    # ------------------------------------------------------------------ parts

    def _let_go(self) -> None:
        """Only the policy, and a critic that was trained, stay in memory beside a fixed batch."""
        self._anchors.let_go()
        if not self._used:
            self._models.critic = None
            self._trained = Trained(self.policy.model, None, self.settings.optimiser)
            self._stale = True

    def _relative(self, path: Path) -> str:
        return str(path.relative_to(self.directory))

    def _stage(self, result: Mapping[str, Any]) -> Stage:
        paths = {name: self.directory / result[name] for name in ("last", "best")}
        return Stage(**{**result, **paths})

    # ------------------------------------------------------------------ down and up again

    def _save(self) -> None:
        write_trained = self._trained.writer(self.policy.tokenizer)

        def write(path: Path) -> None:
            write_trained(path)
            save_file(dict(self._state), path / "algorithm-state.safetensors")
            state = {
                "inputs": self._inputs,
                "step": self.step,
                "position": self._order.position,
                "used": self._used,
                "algorithm": self._wanted,
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
        check_inputs(self.directory / "inputs.json", self._inputs)
        path = checkpoint.newest(self.directory / "checkpoints")
        if path is None:
            self._records.truncate(0)
            return 0
        state = json.loads((path / "state.json").read_text())
        check_own(path, state["inputs"], self._inputs)
        self._used = state["used"]
        if self._used:
            self._switch(state["algorithm"])
        else:
            self._let_go()
        self._trained.read(path, self.settings.loading.dtype)
        self.policy.synchronise()
        self._state = load_file(path / "algorithm-state.safetensors")
        self.step, self._order.position = state["step"], state["position"]
        self._best, self._last_score = state["best"], tuple(state["last_score"])
        self._records.truncate(self.step)
        return self.step
