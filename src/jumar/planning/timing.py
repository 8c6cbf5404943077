"""Seconds: counted operations and bytes over what a machine does of them in a second."""

from jumar.planning.job import Job, Line, amount, count
from jumar.planning.memory import sampling
from jumar.planning.network import traffic


def step(job: Job) -> list[Line]:
    """One step of training: sample, score, update, hand over the weights; nothing overlaps."""
    lines = generation(job, job.rows * job.sampled_per_row) if job.samples else []
    if job.passes:
        lines.append(forward(job, job.rows, job.passes))
    lines.append(update(job, job.rows, job.config.optimiser.epochs))
    for link in traffic(job):
        formula = f"{amount(link.line.value, 'B')} at {amount(link.speed, 'B/s')}"
        lines.append(Line(link.line.name, link.line.value / link.speed, formula))
    return [
        *lines,
        Line("everything else", job.plan.overhead, "plan.overhead: scoring, waking, Python"),
    ]


def generation(job: Job, sampled: float) -> list[Line]:
    """Sampling so many responses: prompts go through once, then token after token."""
    plan = job.plan
    ranks = plan.rollout_ranks if job.sampled_by == "server" else plan.ranks
    if plan.rollout_tokens_per_second is None:
        return [_prompts(job, sampled, ranks), _tokens(job, sampled, ranks)]
    tokens, speed = sampled * job.response_tokens, plan.rollout_tokens_per_second
    formula = f"{count(tokens)} tokens / ({ranks} GPUs x {speed:g}/s, measured)"
    return [Line("sampling", tokens / (ranks * speed), formula)]


def _prompts(job: Job, sampled: float, ranks: int) -> Line:
    tokens = sampled / job.config.rollout.responses * job.prompt_tokens
    flops = job.shape.body_flops(tokens, job.prompt_tokens)
    formula = f"{amount(flops, 'FLOP')} / {_where(job, ranks)}"
    return Line("prompts", flops / (ranks * job.gpu.flops * job.plan.mfu), formula)


def _tokens(job: Job, sampled: float, ranks: int) -> Line:
    """As many at once as there is room for; no faster than the longest response alone."""
    shape, plan, b = job.shape, job.plan, job.dtype_bytes
    parallel = 1 if job.sampled_by == "trainer" else plan.tensor_parallel
    at_once = max(1, sampling(job, sampled).concurrent)
    once = decode_step(job, at_once, parallel)
    steps = sampled * parallel / ranks * job.response_tokens / at_once
    alone = job.config.rollout.max_response_tokens * decode_step(job, 1, parallel)
    formula = f"{count(sampled)} responses: "
    if steps * once < alone:
        return Line("sampling", alone, formula + "as long as the longest takes alone")
    read = amount(b * shape.parameters / parallel, "B")
    cache = amount(at_once * _context(job) * shape.cache_bytes(b) / parallel, "B")
    formula += f"{count(steps)} steps x {once * 1e3:.2g} ms, {at_once} at once, each step reads "
    formula += f"{read} + {cache} at {amount(job.gpu.bandwidth * plan.bandwidth_share, 'B/s')}"
    return Line("sampling", steps * once, formula)


def _context(job: Job) -> float:
    return job.prompt_tokens + job.response_tokens / 2


def decode_step(job: Job, responses: int, parallel: int) -> float:
    """One token for each of `responses`: what reads memory, or what computes, takes longer."""
    shape, gpu, plan, b = job.shape, job.gpu, job.plan, job.dtype_bytes
    read = b * shape.parameters + responses * _context(job) * shape.cache_bytes(b)
    flops = shape.body_flops(responses, 2 * _context(job)) + shape.head_flops(responses)
    return max(
        read / (parallel * gpu.bandwidth * plan.bandwidth_share),
        flops / (parallel * gpu.flops * plan.mfu),
    )


def forward(job: Job, rows: float, passes: int) -> Line:
    """Passes without gradient."""
    flops = pass_flops(job, rows)
    formula = f"{passes} x {amount(flops, 'FLOP')} / {_where(job, job.plan.ranks)}"
    return Line("forward passes", passes * flops / _speed(job), formula)


def update(job: Job, rows: float, epochs: float) -> Line:
    """Forward and backward, twice the work; under LoRA weights need no gradient, which is once."""
    tokens = rows * job.length
    if job.plan.update_tokens_per_second is not None:
        rate = job.plan.ranks * job.plan.update_tokens_per_second
        each = f"{job.plan.ranks} GPUs x {job.plan.update_tokens_per_second:g}/s, measured"
        return Line("update", epochs * tokens / rate, f"{count(epochs * tokens)} tokens / ({each})")
    flops = epochs * update_flops(job, rows)
    formula = f"{amount(flops, 'FLOP')} / {_where(job, job.plan.ranks)}"
    return Line("update", flops / _speed(job), formula)


def pass_flops(job: Job, rows: float) -> float:
    """Of a forward pass over `rows`; logits are made for response tokens only."""
    body = job.shape.body_flops(rows * job.length, job.length)
    return body + job.shape.head_flops(rows * job.response_tokens)


def update_flops(job: Job, rows: float) -> float:
    """Of forward and backward passes over `rows`; logits are computed twice, in chunks."""
    shape, length, tokens = job.shape, job.length, rows * job.length
    once = shape.body_flops(tokens, length)
    backward = 1 if job.adapter else 2
    body = (1 + backward) * once
    again = 0.0
    if job.config.loading.gradient_checkpointing:
        again = shape.recomputed_flops(tokens, length)
    head = (2 + backward) * shape.head_flops(rows * job.response_tokens)
    return body + again + head + (3 * once + again if job.critic else 0)


def _speed(job: Job) -> float:
    return job.plan.ranks * job.gpu.flops * job.plan.mfu


def _where(job: Job, ranks: int) -> str:
    return f"({ranks} GPUs x {amount(job.gpu.flops, 'FLOP/s')} x mfu {job.plan.mfu:g})"
