"""A model's scores on tasks: what `jumar eval` does, and what a run does at its two ends.

evaluate_model("runs/mine", ["gsm8k", "math"], samples=16, directory=Path("scores"))
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from rich.console import Console

from jumar import tasks
from jumar.engines.contract import Observer, Policy
from jumar.engines.local.distributed import check_alike, from_main, is_main, together
from jumar.engines.local.policy import LocalPolicy
from jumar.engines.local.preparation import load_policy, scoring_pool
from jumar.engines.local.sampler import check_context
from jumar.engines.settings import EngineSettings
from jumar.errors import ConfigurationError
from jumar.evaluation.evaluate import Evaluation, evaluate, read, second_opinions, write
from jumar.evaluation.judge import Judge
from jumar.evaluation.protocol import conditions, digest, protocol
from jumar.reports.progress import Progress
from jumar.tasks.task import Example, Task
from jumar.verifiers.pool import ScoringPool

EVALUATION_SEED = 1_000_003  # apart from training's, and the same for every model: paired
SAMPLED, GREEDY = "sampled", "greedy"


def evaluate_model(
    model: str, names: Sequence[str | Task], *,
    samples: int, greedy: bool = False, settings: EngineSettings | None = None,
    directory: Path | None = None,
) -> dict[str, dict[str, Evaluation]]:  # fmt: skip
    """Scores on the whole test split of each task: by the task's name, then "sampled", "greedy".

    The model is loaded once. `directory` gets every response, as soon as its task is finished.
    """
    chosen = settings or EngineSettings()
    judge = judge_of(chosen)
    kinds = (SAMPLED, GREEDY) if greedy else (SAMPLED,)
    found = {task.name: task for task in map(_task, names)}
    with (
        together(chosen.distributed, chosen.loading.device),
        threads(chosen.loading.threads),
        # numbers go to stdout, and nothing else
        Progress(console=Console(stderr=True, quiet=not is_main())) as progress,
    ):
        asked_for = model, list(found), samples, kinds, chosen.model_dump()
        check_alike("evaluation", repr(asked_for))
        first = load_policy(model, next(iter(found.values())), chosen, progress)
        asked = {name: _asked(first, task, chosen) for name, task in found.items()}
        from_main(lambda: _make(directory))  # from here on nothing is wrong with the input
        scores = {}
        for name, task in found.items():
            files = dict.fromkeys(kinds) if directory is None else {
                kind: response_file(directory, list(found), name, kind) for kind in kinds
            }  # fmt: skip
            with scoring_pool(task.verifier, chosen) as pool:
                scores[name] = scored(
                    asked[name], pool, task, task.test, chosen, progress,
                    samples=samples, files=files, who=model, judge=judge,
                )  # fmt: skip
    return scores


def scored(
    policy: Policy, pool: ScoringPool, task: Task, examples: Sequence[Example],
    settings: EngineSettings, observer: Observer, *,
    samples: int, files: Mapping[str, Path | None], who: str, judge: Judge | None,
) -> dict[str, Evaluation]:  # fmt: skip
    """One evaluation for each kind in `files`, stored there; read back where it was made before."""
    found = {}
    how, drawn = conditions(task, settings), settings.evaluation
    for kind, path in files.items():
        sampled = kind == SAMPLED
        n, temperature = (samples, drawn.temperature) if sampled else (1, 0.0)
        parts = protocol(
            examples, pool.verifier,
            samples=n, temperature=temperature, top_p=drawn.top_p, conditions=how,
        )  # fmt: skip
        made = read(path) if path is not None and from_main(path.exists) else None
        if made is None or made.digest != digest(parts):
            observer.on_phase(
                f"Evaluating {who} on {len(examples)} prompts of {task.name}, {kind}."
            )
            made = evaluate(
                policy, pool, examples,
                samples=n, temperature=temperature, top_p=drawn.top_p, seed=EVALUATION_SEED,
                conditions=how,
            )  # fmt: skip
            _report_crashes(made, observer)
        elif judge is None or made.judge == judge.about:
            found[kind] = made
            continue
        found[kind] = _judged(made, judge, observer) if is_main() else made
        if path is not None and is_main():
            write(found[kind], path)
    return found


def judge_of(settings: EngineSettings) -> Judge | None:
    """The judge of these settings; None where they name none."""
    return None if settings.judge.url is None else Judge(settings.judge)


def response_file(directory: Path, names: Sequence[str], name: str, kind: str) -> Path:
    """Where the responses of one of these tasks lie."""
    slugs = [slug(other) for other in names]
    at = list(names).index(name)
    number = f"-{at + 1}" if slugs.count(slugs[at]) > 1 else ""
    return directory / f"{slugs[at]}{number}-{kind}.jsonl"


def slug(name: str) -> str:
    """A model's or a task's name as a part of a file's name: its end, without options."""
    return re.sub(r"[^A-Za-z0-9._]+", "-", name.partition("?")[0])[-40:].strip("-.")


@contextmanager
def threads(count: int | None) -> Iterator[None]:
    """Floating-point sums depend on the number of threads, so a recipe can fix it."""
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _task(name: str | Task) -> Task:
    task = tasks.get(name) if isinstance(name, str) else name
    if not task.test:
        raise ConfigurationError(
            f"The task {task.name!r} has an empty test split, but an evaluation needs prompts to "
            "have a score. Name a test file, or another task."
        )
    return task


def _asked(policy: LocalPolicy, task: Task, settings: EngineSettings) -> LocalPolicy:
    """The same weights, asked as this task asks; prompts without room are refused here."""
    limits = settings.rollout
    other = LocalPolicy(
        policy.model, policy.tokenizer, task.template, settings.loading,
        max_prompt_tokens=limits.max_prompt_tokens, rows=limits.rows,
        max_response_tokens=limits.max_response_tokens,
    )  # fmt: skip
    prompts = [other.prompts.encode(example) for example in task.test]
    check_context(other.model, prompts, other.max_response_tokens)
    return other


def _make(directory: Path | None) -> None:
    try:
        if directory is not None:
            directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(
            f"The directory {directory} cannot be written ({error.strerror}), and an evaluation "
            "needs one to keep its responses in. Choose another --out."
        ) from error


def _report_crashes(evaluation: Evaluation, observer: Observer) -> None:
    broken = [score for score in evaluation.scores if score.status == "crashed"]
    if broken:
        observer.on_phase(
            f"The verifier crashed on {len(broken)} of {len(evaluation.scores)} responses, which "
            f"score 0. The first: {broken[0].detail}"
        )


def _judged(evaluation: Evaluation, judge: Judge | None, observer: Observer) -> Evaluation:
    if judge is None:
        return evaluation
    observer.on_phase("Asking the judge about the responses that the verifier refused.")
    heard = second_opinions(evaluation, judge)
    silent = heard.judged()["no_opinion"]
    if silent:
        causes = ", ".join(f"{count} {cause}" for cause, count in silent.items())
        observer.on_phase(f"The judge gave no opinion on {sum(silent.values())}: {causes}.")
    return heard
