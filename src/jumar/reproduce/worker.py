"""One run of a study in a process of its own: train, score, measure, write the record.

python -m jumar.reproduce.worker JOB.json
"""

import hashlib
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import torch
from safetensors.torch import load_file

from jumar import tasks
from jumar.engines.local.checkpoint import write_json
from jumar.engines.local.distance import own_divergences
from jumar.engines.local.models import load_model
from jumar.engines.local.preparation import load_policy, scoring_pool
from jumar.engines.settings import EngineSettings
from jumar.errors import EngineError
from jumar.evaluation.evaluate import as_list, evaluate
from jumar.evaluation.intervals import ratio
from jumar.reports.progress import Progress
from jumar.reproduce.along import looked_at
from jumar.reproduce.memory import measured
from jumar.reproduce.study import BEST
from jumar.run import EVALUATION_SEED, Run

PROMPTS, KL_PROMPTS = 400, 200
WARM_UP = 2  # steps


def main() -> None:
    """Do the job that the file on the command line describes."""
    job = json.loads(Path(sys.argv[1]).read_text())
    torch.set_num_threads(1)
    record = base_record(job) if job["arm"] == "base" else run_record(job)
    write_json(Path(job["record"]), record)


def base_record(job: Mapping[str, Any]) -> dict[str, Any]:
    """The untrained model on every task, and the memory that each method's update takes."""
    memory = measured(job["memory"])
    name = job["recipe"]["model"]
    return {
        "made": made(),
        "config": job["config"],
        "scores": {"base": scores(name, job)},
        "memory": memory,
        "hashes": {"weights": weights_hash(load_model(name)[0].state_dict())},
    }


def run_record(job: Mapping[str, Any]) -> dict[str, Any]:
    """Train by the recipe, then score the last policy and the one that validated best."""
    directory = Path(job["directory"])
    run = Run(**job["recipe"], seed=job["seed"], out=directory)
    try:
        with Progress() as progress:
            run.train(resume=(directory / "config.yaml").exists(), observer=progress)
    except EngineError as error:
        if not job["tuning"]:
            raise
        # a setting that diverges is a setting that was tried
        return {"made": made(), "config": job["config"], "validated": 0.0, "failed": str(error)}
    rows = list(metrics(directory))
    steps = [row for row in rows if "validation" not in row]
    curve = [(row["step"], row["validation"]["pass@1"][0]) for row in rows if "validation" in row]
    found = {
        "made": made(),
        "config": job["config"],
        "steps": len(steps),
        "time": times(directory, steps),
        "tokens": sum(row["sampled_tokens"] for row in steps) + spent(directory, "sampled_tokens"),
        "curve": [[row["step"], row["reward"], row.get("kl"), row.get("entropy")] for row in steps],
        "surrogate": [row.get("surrogate") for row in steps],
        "validation": curve,
        "reversed": [row["reversed"] for row in steps if "reversed" in row],
        "stages": [r["best_score"] for r in results(directory) if "best_score" in r],
        "validated": max((score for _, score in curve), default=None),
        "models": models(directory, job["models"]),
        "hashes": {
            "rollout": steps[-1]["digest"] if steps else None,
            "weights": weights_hash(load_file(directory / "final" / "model.safetensors")),
        },
    }
    if job["score"]:
        found["scores"] = {
            name: scores(str(directory / path), job) for name, path in found["models"].items()
        }
    if job["along"]:
        found["along"] = looked_at(
            directory, job["along"], job["recipe"]["model"], tasks.get(job["recipe"]["task"]),
            engine_settings(job),
        )  # fmt: skip
    return found


def engine_settings(job: Mapping[str, Any]) -> EngineSettings:
    """Of the job's recipe."""
    recipe = job["recipe"]
    given = {name: recipe[name] for name in EngineSettings.model_fields if name in recipe}
    return EngineSettings.model_validate(given)


def scores(model: str, job: Mapping[str, Any]) -> dict[str, Any]:
    """Sampled and greedy on every task of the study; on the first also KL to the start, entropy."""
    settings = engine_settings(job)
    found: dict[str, Any] = {}
    for name, spec in job["tasks"].items():
        task = tasks.get(spec)
        with Progress() as progress, scoring_pool(task.verifier, settings) as pool:
            policy = load_policy(model, task, settings, progress)
            examples = task.test[:PROMPTS]
            sampled = evaluate(policy, pool, examples, samples=job["samples"], seed=EVALUATION_SEED)
            greedy = evaluate(policy, pool, examples, temperature=0.0, seed=EVALUATION_SEED)
        estimates = {**sampled.estimates(), "greedy": greedy.estimates()["pass@1"]}
        found[name] = {key: as_list(value) for key, value in estimates.items()}
        if "kl" not in found:
            start, _ = load_model(job["recipe"]["model"])
            nats, tokens = own_divergences(
                policy, start, examples[:KL_PROMPTS], ("reverse_kl", "entropy"),
                samples=4, seed=EVALUATION_SEED,
            )  # fmt: skip
            found["kl"] = as_list(ratio(nats["reverse_kl"], tokens))
            found["entropy"] = as_list(ratio(nats["entropy"], tokens))
    return found


def metrics(directory: Path) -> Iterator[dict[str, Any]]:
    """The lines of a run."""
    for line in (directory / "metrics.jsonl").read_text().splitlines():
        yield json.loads(line)


def results(directory: Path) -> list[dict[str, Any]]:
    """What the program's verbs left, in order."""
    files = sorted((directory / "stages").glob("*/stage.json"))
    return [json.loads(file.read_text())["result"] for file in files]


def best_model(directory: Path) -> Path:
    """The policy that validated best in the whole run."""
    stages = [result for result in results(directory) if "best" in result]
    best: str = max(stages, key=lambda stage: stage["best_score"] or 0.0)["best"]
    return directory / best


def models(directory: Path, wanted: Mapping[str, str]) -> dict[str, str]:
    """The models that are scored, by name, as far as this run has them."""
    found = {
        name: str(best_model(directory).relative_to(directory)) if place == BEST else place
        for name, place in wanted.items()
    }
    return {name: place for name, place in found.items() if (directory / place).is_dir()}


def spent(directory: Path, key: str) -> float:
    """Seconds or sampled tokens of the verbs that do not train the policy step by step."""
    return float(sum(result.get(key, 0.0) for result in results(directory)))


def times(directory: Path, steps: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Seconds: of stages, and the median step by what it was spent on; the first are warming up."""
    names = ("sample", "score", "update", "forward", "step")
    warm = steps[WARM_UP:]
    found = {n: median([row.get(f"time/{n}", 0.0) for row in warm] or [0.0]) for n in names}
    return {**found, "stages": spent(directory, "seconds")}


def weights_hash(tensors: Mapping[str, torch.Tensor]) -> str:
    """Of every weight, bit for bit; ties are counted as often as they are named."""
    found = hashlib.sha256()
    for name in sorted(tensors):
        found.update(tensors[name].detach().cpu().flatten().view(torch.uint8).numpy().tobytes())
    return found.hexdigest()[:16]


def made() -> dict[str, str]:
    """Where a record comes from."""
    return {
        "commit": _commit() or "none",
        "python": platform.python_version(),
        "torch": version("torch"),
        "transformers": version("transformers"),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
    }


def _commit() -> str:
    """Of the checkout that this file is in, with a + where it was changed; "" outside of one."""
    root = Path(__file__).parents[3]
    if not (root / ".git").exists():
        return ""

    def git(*asked: str) -> str:
        command = ["git", "-C", str(root), *asked]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()

    try:
        return git("rev-parse", "--short", "HEAD") + (
            "+" if git("diff", "HEAD", "--stat", "src") else ""
        )
    except OSError:
        return ""


if __name__ == "__main__":
    main()
