"""Responses by vLLM, weights by the local trainer.

    with vllm_sampler(policy, examples, settings, observer) as sampler:
        policy.sampler = sampler

vLLM runs in processes of its own, which this package starts, or behind an address. Nothing here is
imported by the rest of jumar before a run asks for it, and vllm itself only where it is started. Of
several training processes the main one alone talks to a server, and the others get what it gets.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from shutil import disk_usage
from tempfile import TemporaryDirectory, gettempdir
from typing import Any

from jumar.engines.contract import Observer
from jumar.engines.local.distributed import world
from jumar.engines.local.models import context_length
from jumar.engines.local.peft_layers import layers
from jumar.engines.local.policy import LocalPolicy
from jumar.engines.local.sampler import Sampling
from jumar.engines.settings import EngineSettings
from jumar.engines.vllm.in_process import InProcess
from jumar.engines.vllm.probe import TOLERANCE
from jumar.engines.vllm.requests import Engine
from jumar.engines.vllm.sampler import Probed, VllmSampler
from jumar.engines.vllm.server import Server
from jumar.engines.vllm.weights import room_for_adapters, write_model
from jumar.errors import ConfigurationError
from jumar.tasks.task import Example

SHARED_MEMORY = Path("/dev/shm")
PROBES = 4  # prompts
PROBE_TOKENS = 64  # of each response


@contextmanager
def vllm_sampler(
    policy: LocalPolicy, examples: Sequence[Example], settings: EngineSettings, observer: Observer
) -> Iterator[VllmSampler]:
    """A sampler with the policy's weights, until the context ends; a few `examples` check it."""
    chosen, rollout = settings.vllm, settings.rollout
    if world() > 1 and chosen.server is None:
        raise ConfigurationError(
            f"engine=vllm was started in {world()} processes without a server, but one vLLM has to "
            "draw for all of them. Start it apart, with python -m jumar.engines.vllm, and name its "
            "address by vllm.server."
        )
    with TemporaryDirectory(prefix="jumar-", dir=_place(chosen.exchange, policy)) as name:
        engine = _engine(policy, settings, Path(name), observer)
        try:
            sampler = VllmSampler(
                engine,
                Path(name),
                Probed(
                    prompts=[policy.prompts.encode(example) for example in examples[:PROBES]],
                    sampling=Sampling(
                        temperature=rollout.temperature, top_p=rollout.top_p, top_k=rollout.top_k
                    ),
                    # one token less: it goes back as a prompt, to which vLLM adds a token
                    max_tokens=max(1, min(PROBE_TOKENS, rollout.max_response_tokens - 1)),
                    eos_ids=policy.prompts.eos_ids,
                ),
                patience=chosen.patience,
                tolerance=chosen.tolerance or TOLERANCE[next(policy.model.parameters()).dtype],
            )
            sampler.synchronise(policy.model)
            yield sampler
        finally:
            engine.close()


def _engine(
    policy: LocalPolicy, settings: EngineSettings, place: Path, observer: Observer
) -> Engine:
    chosen, rollout = settings.vllm, settings.rollout
    needed = rollout.max_prompt_tokens + rollout.max_response_tokens
    if chosen.server is None:
        observer.on_phase("Starting vLLM.")
        write_model(policy.model, policy.tokenizer, place / "model")
        room = min(context_length(policy.model) or needed + 1, needed + 1)
        arguments = {**_for_adapters(policy, settings.lora.rank), **chosen.arguments}
        return InProcess(
            place / "model", dtype=settings.loading.dtype, room=room, arguments=arguments
        )
    server = Server(chosen.server, patience=chosen.patience)
    if server.room < min(needed, context_length(policy.model) or needed):
        raise ConfigurationError(
            f"{server.name} has room for {server.room} tokens, but the run asks for up to {needed} "
            "(rollout.max_prompt_tokens and rollout.max_response_tokens). Responses would be cut "
            "short. Start it with a larger --max-model-len, or lower the limits."
        )
    return server


def _for_adapters(policy: LocalPolicy, rank: int | None) -> dict[str, Any]:
    return {} if rank is None else room_for_adapters(layers(policy.model), rank)


def _place(exchange: str | None, policy: LocalPolicy) -> str:
    """Where weights lie on their way: in memory, where the machine has room for them there."""
    if exchange is None:
        size = sum(weight.nbytes for weight in policy.model.parameters())
        fits = SHARED_MEMORY.is_dir() and disk_usage(SHARED_MEMORY).free > 3 * size
        return str(SHARED_MEMORY) if fits else gettempdir()
    if not os.access(exchange, os.W_OK):
        raise ConfigurationError(
            f"`vllm.exchange` is {exchange}, but needs to be a directory that can be written, for "
            "the weights on their way to vLLM. Make it, or leave it out where both are on one "
            "machine."
        )
    return exchange
