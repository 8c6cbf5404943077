"""Bytes on one GPU at its two fullest moments: in an update, and while it samples.

What is counted was measured on the local engine (tests/planning): weights, gradients and moments to
the byte, activations and logits within a few in a hundred. Buffers of FSDP are its documented ones.
"""

import math
from dataclasses import dataclass

from jumar.planning.job import Job, Line, amount, count

CHUNK = 512  # tokens whose logits exist at once, of ops/logprobs
LOGIT_BYTES = 12  # of one logit: itself and what becomes of it, in float32


@dataclass(frozen=True, slots=True)
class Sampling:
    """How many responses a GPU samples at once, and what fills it."""

    concurrent: int
    lines: tuple[Line, ...]


def training(job: Job) -> list[Line]:
    """In an update, on each rank that trains."""
    return [*states(job), *_gathered(job), _activations(job), _working(job)]


def states(job: Job) -> list[Line]:
    """What stays from one update to the next."""
    b, shards = job.dtype_bytes, job.shards
    per = f" / {shards} ranks" if shards > 1 else ""
    held, trained = job.shape.parameters + job.adapter, job.trained
    what = f" adapter of rank {job.config.lora.rank}" if job.adapter else ""
    lines = [
        Line("weights", b * held / shards, f"{b} B x {count(held)}{per}"),
        Line("gradients", b * trained / shards, f"{b} B x {count(trained)}{what}{per}"),
        Line(
            "AdamW", job.state_bytes * trained / shards,
            f"({'4 + 4' if job.state_bytes == 8 else '4 + 4 + 4'}) B x {count(trained)}{what}{per}"
            ": two moments" + (", a float32 copy" if job.state_bytes == 12 else ""),
        ),
    ]  # fmt: skip
    if job.critic:
        each = 2 * b + job.state_bytes
        lines.append(
            Line("critic", each * job.critic / shards, f"{each} B x {count(job.critic)}{per}")
        )
    if job.frozen:
        size = job.frozen * b * job.shape.parameters / shards
        formula = f"{job.frozen} x {b} B x {count(job.shape.parameters)}{per}"
        lines.append(Line("reference, teachers", size, formula))
    return lines


def _gathered(job: Job) -> list[Line]:
    """What FSDP has whole: embedding and head throughout, the layer at work and the next."""
    if job.shards == 1:
        return []
    b, shape = job.dtype_bytes, job.shape
    whole, reduced = shape.outside + 2 * shape.layer, shape.outside + shape.layer
    wide = 0 if b == 4 else 4
    models = 2 if job.critic else 1
    size = models * (b * whole + (0 if job.adapter else (b + wide) * reduced))
    formula = f"{b} B x {count(whole)} whole"
    if not job.adapter:
        formula += f" + {b + wide} B x {count(reduced)} gradients on the way"
    return [Line("FSDP's buffers", size, formula)]


def micro_batch(job: Job) -> int:
    """Tokens of the largest forward pass: at least a row, or a group where those go as one."""
    unit = job.config.rollout.responses if job.algorithm.unit == "group" else 1
    mine = math.ceil(job.rows / job.plan.ranks) * job.longest
    return max(min(job.config.optimiser.micro_batch_tokens, mine), unit * job.longest)


def _activations(job: Job) -> Line:
    b, shape, tokens = job.dtype_bytes, job.shape, micro_batch(job)
    layer = shape.activation_bytes(b)
    kept = b * shape.hidden if job.config.loading.gradient_checkpointing else layer
    end = (4 + b) * shape.hidden + 12  # the last norm
    size = tokens * (shape.layers * kept + end)
    each = f"{shape.layers} layers x {amount(kept, 'B')} + {amount(end, 'B')}"
    if job.critic:
        size += tokens * (shape.layers * kept + end)
        each += f" + the critic's {shape.layers} x {amount(kept, 'B')} + {amount(end, 'B')}"
    return Line("activations", size, f"{count(tokens)} tokens x ({each})")


def _working(job: Job) -> Line:
    """The logits of a chunk, or the layer that goes backward: they come one after the other."""
    b, shape, tokens = job.dtype_bytes, job.shape, micro_batch(job)
    chunk = min(CHUNK, tokens)
    each_logit = LOGIT_BYTES + (b if b < 4 else 0)  # the product is rounded before it is widened
    logits = each_logit * chunk * shape.vocabulary
    again = shape.activation_bytes(b) if job.config.loading.gradient_checkpointing else 0
    layer = tokens * (again + 2 * b * shape.intermediate)
    if logits >= layer:
        formula = f"{each_logit} B x {chunk} tokens x {shape.vocabulary:,} logits"
        return Line("working memory", logits, formula)
    each = amount(again + 2 * b * shape.intermediate, "B")
    return Line("working memory", layer, f"{count(tokens)} tokens x {each} of one layer")


def sampling(job: Job, sampled: float) -> Sampling:
    """While it samples so many responses: on the ranks that train, or on the GPUs of vLLM alone."""
    b, shape, plan = job.dtype_bytes, job.shape, job.plan
    apart, trainer = job.sampled_by == "server", job.sampled_by == "trainer"
    parallel = 1 if trainer else plan.tensor_parallel
    lines = [] if apart else states(job)
    if not trainer:
        formula = f"{b} B x {count(shape.parameters)}"
        formula += f" / {parallel} GPUs of a replica" if parallel > 1 else ""
        lines.append(Line("vLLM's weights", b * shape.parameters / parallel, formula))
    elif job.shards > 1:
        formula = f"{b} B x {count(shape.parameters)}, whole on each rank"
        lines.append(Line("gathered weights", b * shape.parameters, formula))
    replicas = (plan.rollout_ranks if apart else plan.ranks) / parallel
    sequences = sampled / replicas
    # the local sampler pads to the longest, vLLM takes pages as a response grows
    tokens = job.longest if trainer else job.length
    each = shape.cache_bytes(b) * tokens / parallel
    room = plan.usable_memory * job.gpu.memory - sum(line.value for line in lines)
    most = min(sequences, job.config.rollout.rows) if trainer else sequences
    concurrent = max(0, min(math.ceil(most), int(room / each)))
    formula = f"{concurrent} responses at once x {count(tokens)} tokens x "
    formula += amount(shape.cache_bytes(b), "B") + (f" / {parallel}" if parallel > 1 else "")
    lines.append(Line("KV cache", concurrent * each, formula))
    return Sampling(concurrent, tuple(lines))
