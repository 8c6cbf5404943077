"""Before step 0: the model, the prompts and the verifier of a run, and what is wrong with them."""

from collections.abc import Callable
from dataclasses import replace

import torch

from jumar.engines.contract import Observer
from jumar.engines.local.distributed import from_main
from jumar.engines.local.model_names import resolved_model
from jumar.engines.local.models import context_length, load_model
from jumar.engines.local.packing import packs
from jumar.engines.local.policy import LocalPolicy
from jumar.engines.local.provision import Teacher, teachers
from jumar.engines.local.sampler import check_context
from jumar.engines.local.scoring import SharedPool
from jumar.engines.local.sharding import shard
from jumar.engines.local.tiny import tiny_directory, tiny_model
from jumar.engines.local.tokens import given_responses
from jumar.engines.settings import EngineSettings
from jumar.errors import ConfigurationError, DataError
from jumar.tasks.task import Task
from jumar.verifiers.build import build
from jumar.verifiers.pool import ScoringPool
from jumar.verifiers.score import VerifierSpec


def load_policy(
    model: str, task: Task, settings: EngineSettings, observer: Observer
) -> LocalPolicy:
    """The model that a run starts from, or that an evaluation asks."""
    loading, rollout = settings.loading, settings.rollout
    if model == "tiny":
        from_main(lambda: _build_tiny(observer))
    weights, tokenizer = load_model(
        resolved_model(model),
        dtype=loading.dtype,
        device=_device(loading.device),
        attention=loading.attention,
        gradient_checkpointing=loading.gradient_checkpointing,
    )
    if not packs(weights):
        observer.on_phase(
            "Training pads the rows of this model and repeats its prompts: its attention cannot be "
            "packed (docs/performance.md)."
        )
    return LocalPolicy(
        shard(weights) if settings.distributed.sharding == "full" else weights,
        tokenizer,
        task.template,
        loading,
        max_prompt_tokens=rollout.max_prompt_tokens,
        max_response_tokens=rollout.max_response_tokens,
        rows=rollout.rows,
    )


def scoring_pool(verifier: VerifierSpec, settings: EngineSettings) -> ScoringPool:
    """The processes that score, under the budgets of the recipe."""
    if verifier.kind == "none" and settings.rollout.source == "policy":
        build(verifier)  # refuses it
    scoring = settings.scoring
    return SharedPool(
        verifier,
        workers=scoring.workers,
        cpu_seconds=scoring.cpu_seconds,
        wall_seconds=scoring.wall_seconds,
    )


def with_fitting_prompts(task: Task, policy: LocalPolicy, observer: Observer) -> Task:
    """Training prompts over the limit are left out and counted."""
    train = policy.prompts.fitting(task.train)
    if len(train) < len(task.train):
        observer.on_phase(
            f"{len(task.train) - len(train)} of {len(task.train)} training prompts are over "
            f"{policy.prompts.max_tokens} tokens (rollout.max_prompt_tokens) and are left out."
        )
    return replace(task, train=train)


def check_examples(task: Task, policy: LocalPolicy, settings: EngineSettings) -> None:
    """Refuse before anything is written what would stop the run in a later step."""
    evaluation = settings.evaluation
    if not task.train:
        raise DataError(
            f"The task {task.name!r} has no training prompt within rollout.max_prompt_tokens, but "
            "a run needs one to learn from. Raise that limit, or name another training file."
        )
    if evaluation.every and not task.validation:
        raise DataError(
            f"The task {task.name!r} has an empty validation split, but evaluation.every is "
            f"{evaluation.every}, and a score needs prompts. Set evaluation.every=0, or give the "
            "task more rows."
        )
    if settings.rollout.source == "dataset":
        for example in task.train:
            given_responses(example)
    asked = [*task.test[: evaluation.final_prompts]]
    asked += task.validation[: evaluation.prompts] if evaluation.every else ()
    room, longest = context_length(policy.model), policy.max_response_tokens
    if room is not None and policy.prompts.max_tokens + longest > room:  # else all of them fit
        asked += task.train
    check_context(policy.model, [policy.prompts.encode(example) for example in asked], longest)


def check_routes(task: Task, teacher: Teacher) -> None:
    """With several teachers every training prompt has to name one of them."""
    names = teachers(teacher)
    lost = [e for e in task.train if e.metadata.get("teacher") not in names]
    if len(names) > 1 and lost:
        raise DataError(
            f"There are several teachers ({', '.join(names)}), but {len(lost)} training prompts "
            f"name none of them, the first {lost[0].prompt[:60]!r}. Each is scored by one of them. "
            "Give every row a column `teacher` with one of these names, or name a single teacher."
        )


def _device(name: str) -> str:
    """The device by name; ConfigurationError where this machine has none of it."""
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:  # torch without CUDA asserts
        raise ConfigurationError(
            f"`loading.device` is {name}, but needs to be a device that this machine has, for the "
            f"models to be on ({str(error).splitlines()[0][:100]}). Set it to cpu, cuda or auto."
        ) from None
    return name


def _build_tiny(observer: Observer) -> None:
    if not (tiny_directory() / "config.json").is_file():
        observer.on_phase("Building the tiny base model, once: about a minute.")
        tiny_model(on_progress=_told_in_quarters(observer))


def _told_in_quarters(observer: Observer) -> Callable[[int, int], None]:
    def tell(step: int, total: int) -> None:
        if step % (total // 4) == 0:
            observer.on_phase(f"  {step} of {total} steps of supervised training")

    return tell
