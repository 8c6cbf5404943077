"""A run: from a recipe to a trained model, with its scores before and after.

    Run(model="tiny", task="gym:chain_sum", algorithm="owpo", program="ratchet").train()

The run directory holds config.yaml, metrics.jsonl, checkpoints/, stages/, rollouts/, evaluation/,
final/ (and adapter/, with LoRA), summary.json, curves.png and report.html.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack, nullcontext
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from rich.console import Console

from jumar import algorithms, programs, tasks
from jumar.algorithm import Algorithm
from jumar.config import AlgorithmConfig, ProgramConfig, RunConfig, dump, parse
from jumar.correction import corrected
from jumar.engines.contract import Observer, Policy, Trainer
from jumar.engines.local.checkpoint import replace_directory, write_json
from jumar.engines.local.distributed import (
    check_alike,
    from_main,
    is_main,
    together,
    world,
)
from jumar.engines.local.peft_layers import check_peft
from jumar.engines.local.policy import LocalPolicy
from jumar.engines.local.preparation import (
    check_examples,
    check_routes,
    load_policy,
    scoring_pool,
    with_fitting_prompts,
)
from jumar.engines.local.provision import Teacher, check_provided
from jumar.engines.local.records import Records
from jumar.engines.local.sampler import Sampler
from jumar.engines.local.trainer import LocalTrainer
from jumar.engines.settings import EngineSettings
from jumar.evaluating import EVALUATION_SEED as EVALUATION_SEED
from jumar.evaluating import GREEDY, SAMPLED, judge_of, scored, threads
from jumar.evaluation.comparison import compare
from jumar.evaluation.evaluate import Evaluation, as_list, validation
from jumar.evaluation.protocol import conditions
from jumar.pieces import Piece, piece
from jumar.reports.curves import curves
from jumar.reports.html import write_report
from jumar.reports.progress import Progress
from jumar.reports.trackers import check_installed
from jumar.reports.tracking import Tracking
from jumar.run_directory import RunDirectory
from jumar.tasks.task import Task
from jumar.verifiers.pool import ScoringPool


class Run:
    """One training run; the keyword arguments are the fields of a recipe.

    `task` may be a Task, `algorithm` an Algorithm and `program` a function of a trainer (with
    `piece(function, ...)` for its settings) instead of their names.
    """

    def __init__(
        self, *, task: str | Task, algorithm: str | Mapping[str, Any] | Algorithm,
        program: str | Mapping[str, Any] | Callable[[Trainer], None] = "plain",
        out: str | Path | None = None, **fields: Any,
    ) -> None:  # fmt: skip
        self._task = task if isinstance(task, Task) else None
        self._algorithm = algorithm if isinstance(algorithm, Algorithm) else None
        own: Piece | None = None
        if callable(program):
            own = program if isinstance(program, Piece) else piece(program)
            program = {"name": "plain", "steps": max(1, programs.rehearsed(own))}
        self.config: RunConfig = parse(
            {
                "task": task.name if isinstance(task, Task) else task,
                "algorithm": "reinforce" if isinstance(algorithm, Algorithm) else algorithm,
                "program": program,
                **fields,
            }
        )
        chosen = self.config.program
        self._program = own or piece(programs.get(chosen.name), **chosen.settings)
        self._total_steps = chosen.total_steps
        made: dict[str, Any] = {}  # written down, so that a resumed run is seen to be the same
        if isinstance(algorithm, Algorithm):
            settings = {"record": repr(algorithm)}
            made["algorithm"] = AlgorithmConfig.model_construct(
                name=algorithm.name, settings=settings
            )
        if own is not None:
            made["program"] = ProgramConfig.model_construct(
                name=own.fn.__name__, settings={"record": repr(own)}
            )
        self.config = self.config.model_copy(update=made)
        default = Path("runs") / f"{self.config.algorithm.name}-seed{self.config.seed}"
        self.directory = Path(out) if out is not None else default

    def train(self, *, resume: bool = False, observer: Observer | None = None) -> dict[str, Any]:
        """Train, evaluate before and after, and return what `summary.json` holds."""
        for tracker in self.config.tracker:
            check_installed(tracker)
        if self.config.lora.rank is not None:
            check_peft()
        algorithm = self._algorithm or algorithms.get(
            self.config.algorithm.name, **self.config.algorithm.settings
        )
        check_provided(
            corrected(algorithm, **dict(self.config.correction)),
            reference=self._anchor(self.config.reference),
            teacher=self._teacher(),
            source=self.config.rollout.source,
            made=self._program.makes,
        )
        loading = self.config.loading
        with together(self.config.distributed, loading.device), threads(loading.threads):
            if observer is not None and is_main():
                return self._tracked(algorithm, resume, observer)
            with Progress(console=Console(quiet=not is_main())) as progress:
                return self._tracked(algorithm, resume, progress)

    def _tracked(self, algorithm: Algorithm, resume: bool, observer: Observer) -> dict[str, Any]:
        trackers = self.config.tracker if is_main() else ()
        with Tracking(observer, self.directory, trackers) as tracking:
            summary = self._train(algorithm, resume, tracking)
            tracking.finish(summary)
        return summary

    def _train(self, algorithm: Algorithm, resume: bool, observer: Tracking) -> dict[str, Any]:
        start = perf_counter()
        check_alike("recipe", dump(self.config))
        place = RunDirectory(self.directory, self.config)
        from_main(lambda: place.check(resume))
        settings = self.config.engine_settings()
        judge_of(settings)  # refuses a judge without its key
        task = self._task or tasks.get(self.config.task)
        task.check_trainable()
        policy = load_policy(self.config.model, task, settings, observer)
        task = with_fitting_prompts(task, policy, observer)
        verifier = self.config.verifier(task)
        if verifier.kind == "none" and settings.rollout.source == "dataset":
            observer.on_phase("The task has no verifier: it trains, and nothing is evaluated.")
            never = settings.evaluation.model_copy(update={"every": 0, "final_prompts": 0})
            settings = settings.model_copy(update={"evaluation": never})
        check_examples(task, policy, settings)
        check_routes(task, self._teacher())
        sampler = self._sampler(policy, task, settings, observer)
        with (
            sampler as policy.sampler,
            scoring_pool(verifier, settings) as pool,
            ExitStack() as held,
        ):
            trainer = self._trainer(algorithm, policy, pool, task, settings, observer)
            # from here on nothing is wrong with the input
            from_main(lambda: place.take(held, resume))
            tracking = self.config.tracking
            observer.begin(
                project=tracking.project,
                name=tracking.name or self.directory.resolve().name,
                config=self.config.model_dump(mode="json"),
            )
            base = self._evaluate("base", policy, pool, task, settings, observer)
            if (step := trainer.restore()) > 0:
                observer.on_phase(f"Going on after step {step}.")
            self._program(trainer)
            replace_directory(self.directory / "final", policy.whole_writer())
            if settings.lora.rank is not None:
                replace_directory(self.directory / "adapter", policy.writer())
            final = self._evaluate("final", policy, pool, task, settings, observer)
        summary = self._summary(base, final, trainer.step, perf_counter() - start)
        if is_main():
            write_json(self.directory / "summary.json", summary)
            if (self.directory / "metrics.jsonl").is_file():  # not where only fits were made
                curves(self.directory)
            write_report(self.directory)
        return summary

    def _sampler(
        self, policy: LocalPolicy, task: Task, settings: EngineSettings, observer: Observer
    ) -> AbstractContextManager[Sampler]:
        """What draws the policy's responses, for as long as the run lasts."""
        if self.config.engine == "local":
            return nullcontext(policy.sampler)
        from jumar.engines.vllm import vllm_sampler

        return vllm_sampler(policy, task.train, settings, observer)

    def _trainer(
        self,
        algorithm: Algorithm,
        policy: LocalPolicy,
        pool: ScoringPool,
        task: Task,
        settings: EngineSettings,
        observer: Observer,
    ) -> LocalTrainer:
        evaluation = settings.evaluation
        return LocalTrainer(
            directory=self.directory,
            policy=policy,
            start=self.config.model,
            reference=self._anchor(self.config.reference),
            teacher=self._teacher(),
            task=task,
            pool=pool,
            algorithm=algorithm,
            settings=settings,
            validation=validation(
                pool,
                task.validation[: evaluation.prompts],
                self.directory / "evaluation" / "validation" if is_main() else None,
                samples=evaluation.samples,
                temperature=evaluation.temperature,
                top_p=evaluation.top_p,
                seed=EVALUATION_SEED,
                conditions=conditions(task, settings),
            ),
            observer=observer,
            made=self._program.makes,
            total_steps=self._total_steps,
        )

    def _anchor(self, name: str | None) -> str | None:
        """A reference or teacher by its model name: "initial" is what the run starts from."""
        return self.config.model if name == "initial" else name

    def _teacher(self) -> Teacher:
        given = self.config.teacher
        if isinstance(given, dict):
            return {name: self._anchor(model) or "" for name, model in given.items()}
        return self._anchor(given)

    def _evaluate(
        self,
        name: str,
        policy: Policy,
        pool: ScoringPool,
        task: Task,
        settings: EngineSettings,
        observer: Observer,
    ) -> dict[str, Evaluation]:
        """Sampled and greedy on the test split; read back where it was done before a resume."""
        examples = task.test[: settings.evaluation.final_prompts]
        place = self.directory / "evaluation"
        files = {kind: place / f"{name}-{kind}.jsonl" for kind in (SAMPLED, GREEDY) if examples}
        return scored(
            policy, pool, task, examples, settings, observer,
            samples=settings.evaluation.final_samples, files=files, who=f"the {name} model",
            judge=judge_of(settings),
        )  # fmt: skip

    def _summary(
        self, base: dict[str, Evaluation], final: dict[str, Evaluation], steps: int, seconds: float
    ) -> dict[str, Any]:
        return {
            "base": {kind: found.to_dict() for kind, found in base.items()},
            "final": {kind: found.to_dict() for kind, found in final.items()},
            "change": {
                kind: {name: as_list(e) for name, e in compare(final[kind], base[kind]).items()}
                for kind in final
            },
            "steps": steps,
            "backstops": from_main(lambda: Records(self.directory).total("backstops")),
            "seconds": seconds,
            "threads": torch.get_num_threads(),
            "processes": world(),
            "directory": str(self.directory),
        }
