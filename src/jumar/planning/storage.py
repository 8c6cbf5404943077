"""Bytes on disk: what checkpoints and stages of the local engine hold; sampled text is small."""

from collections.abc import Mapping, Sequence
from typing import Any

from jumar.planning.job import Job, Line, amount, count


def disk(job: Job, calls: Sequence[tuple[str, Mapping[str, Any]]]) -> list[Line]:
    """At the end of a run whose program makes these calls."""
    kept = job.config.checkpoints
    model = job.dtype_bytes * job.trained
    whole = checkpoint(job)
    formula = f"({kept.keep_last} last + {kept.keep_best} best + 1 being written)"
    formula += f" x {amount(whole, 'B')}"
    lines = [Line("checkpoints", (kept.keep_last + kept.keep_best + 1) * whole, formula)]
    models = sum(_models(verb, numbers) for verb, numbers in calls)
    if models:
        lines.append(Line("stages", models * model, f"{models} x {amount(model, 'B')} of weights"))
    final = job.dtype_bytes * job.shape.parameters
    return [*lines, Line("final", final, f"{job.dtype_bytes} B x {count(job.shape.parameters)}")]


def checkpoint(job: Job) -> int:
    """Of one checkpoint: trained weights and their AdamW, the critic and its AdamW."""
    return (job.dtype_bytes + job.state_bytes) * (job.trained + job.critic)


def _models(verb: str, numbers: Mapping[str, Any]) -> int:
    """How many models a verb leaves on disk."""
    if verb in ("train", "adopt"):
        return 2  # the last and the best
    return 1 + numbers["snapshots"] if verb == "fit" else 0
