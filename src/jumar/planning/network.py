"""Gradients and weights on their way between GPUs, bytes of one GPU in a step."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from jumar.planning.job import Job, Line, count
from jumar.planning.memory import micro_batch


@dataclass(frozen=True, slots=True)
class Link:
    """Bytes, and how many a second get through."""

    line: Line
    speed: float


def traffic(job: Job) -> Iterator[Link]:
    """Nothing where there is one GPU."""
    if job.plan.ranks > 1:
        yield _between_ranks(job)
    if not job.samples:
        return
    if job.sampled_by == "server":
        yield _to_a_server(job)
    elif job.shards > 1:
        yield _to_the_sampler(job)


def _between_ranks(job: Job) -> Link:
    """Gradients are added up; weights that are dealt come together for each pass, to and fro."""
    plan, b, ranks = job.plan, job.dtype_bytes, job.plan.ranks
    share, others = (ranks - 1) / ranks, f"{ranks - 1}/{ranks}"
    if job.shards == 1:
        size = job.updates * 2 * share * b * job.trained
        formula = f"{job.updates} updates x 2 x {others} x {b} B x {count(job.trained)}"
        return Link(Line("gradients between ranks", size, formula), _speed(job))
    once = math.ceil(job.rows / plan.ranks * job.length / micro_batch(job))
    updates = max(job.updates, job.config.optimiser.epochs * once)
    gathers = 2 * updates + job.passes * once
    size = share * (gathers * b * job.shape.parameters + updates * 4 * job.trained)
    formula = f"{others} x ({gathers} x {b} B x {count(job.shape.parameters)} of weights"
    formula += f" + {updates} x 4 B x {count(job.trained)} of gradients)"
    return Link(Line("FSDP between ranks", size, formula), _speed(job))


def _to_a_server(job: Job) -> Link:
    """One rank sends; under LoRA the adapter alone."""
    b, sent = job.dtype_bytes, job.adapter or job.shape.parameters
    line = Line("weights to vLLM", b * sent, f"{b} B x {count(sent)}, from one GPU")
    return Link(line, job.gpu.network * job.plan.network_share)


def _to_the_sampler(job: Job) -> Link:
    """Weights that are dealt come together on every rank."""
    b, parameters, ranks = job.dtype_bytes, job.shape.parameters, job.plan.ranks
    size = b * parameters * (ranks - 1) / ranks
    formula = f"{b} B x {count(parameters)} x {ranks - 1}/{ranks}"
    return Link(Line("weights to the sampler", size, formula), _speed(job))


def _speed(job: Job) -> float:
    """Of the slowest link on the way, bytes per second."""
    inside = job.plan.ranks <= job.plan.node
    return (job.gpu.link if inside else job.gpu.network) * job.plan.network_share
