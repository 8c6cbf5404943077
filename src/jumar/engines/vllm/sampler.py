"""Responses by vLLM in place of the local sampler; training stays where it is.

A response is drawn with a seed that is a hash of (seed, step, prompt) plus the number of the
sample, so a resumed run asks for the same draws. vLLM's sums depend on which requests share a
batch, so an answer may still differ in the last bit of a log-prob, and by that, rarely, in a token.
"""

import hashlib
import shutil
import struct
import uuid
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from torch import Tensor, nn

from jumar.engines.local.distributed import from_main
from jumar.engines.local.forward import response_logprobs
from jumar.engines.local.models import is_adapted
from jumar.engines.local.packing import Prompts
from jumar.engines.local.sampler import (
    Ended,
    Sampled,
    Sampling,
    check_context,
    check_finite,
    sample_numbers,
)
from jumar.engines.vllm.probe import Probe
from jumar.engines.vllm.requests import Answer, Engine, Request, answers, within
from jumar.engines.vllm.weights import write_adapter, write_weights

STARTING = 300.0  # seconds of patience at first, when kernels may still be compiled
LOADING = 2**29  # bytes per second that loading is given, on top of the patience


@dataclass(frozen=True, slots=True, kw_only=True)
class Probed:
    """What is sampled once at the start, for both sides to score after each synchronisation."""

    prompts: Prompts
    sampling: Sampling  # the run's
    max_tokens: int
    eos_ids: Sequence[int]


class VllmSampler:
    """Implements `Sampler`; `exchange` is a directory that vLLM sees under the same path."""

    def __init__(
        self, engine: Engine, exchange: Path, probed: Probed, *, patience: float, tolerance: float
    ) -> None:
        self._engine, self._exchange = engine, exchange
        self._patience, self._later = max(patience, STARTING), patience
        self._probed, self._probe = probed, Probe(tolerance)
        self._probe_rows: Sampled | None = None
        self._run, self._count = uuid.uuid4().hex, 0

    def sample(
        self,
        model: nn.Module,
        prompts: Prompts,
        prompt_ids: Sequence[int],
        *,
        group: int,
        sampling: Sampling,
        max_tokens: int,
        eos_ids: Sequence[int],
        pad_id: int,
        seed: int,
        step: int = 0,
        ended: Ended | None = None,
    ) -> Sampled:
        """See `Sampler`; all responses end together."""
        check_context(model, prompts, max_tokens)
        numbers = sample_numbers(prompt_ids, group)
        firsts = zip(prompts, prompt_ids, numbers[::group].tolist(), strict=True)
        requests = [
            Request(
                prompt=prompt, weights=self._weights, sampling=sampling, count=group,
                max_tokens=max_tokens, stop_ids=eos_ids, seed=_seed(seed, step, name) + first,
            )
            for prompt, name, first in firsts
        ]  # fmt: skip
        rows = [answer for responses in self._answers(requests) for answer in responses]
        device = next(model.parameters()).device
        drawn = _columns(rows, numbers, pad_id, greedy=sampling.temperature == 0.0, device=device)
        check_finite(drawn.logprobs)
        return drawn

    def synchronise(self, model: nn.Module) -> dict[str, float]:
        """Exchange the weights, and measure on both sides that they are the same."""
        start = perf_counter()
        self._load(model)
        first = self._probe_rows is None
        rows = self._probe_rows = self._probe_rows or self._drawn_probe(model)
        trainer = self._by_trainer(model, rows, Sampling())
        gap = self._probe.gap(trainer, self._by_engine(rows))
        if first:
            own = self._by_trainer(model, rows, self._probed.sampling)
            self._probe.same_distribution(own, rows.logprobs[rows.mask].cpu())
            self._patience = self._later
        return {"logprob/probe_gap": gap, "time/synchronise": perf_counter() - start}

    # ------------------------------------------------------------------ parts

    @property
    def _weights(self) -> str:
        return f"{self._run}-{self._count}"

    def _load(self, model: nn.Module) -> None:
        adapted = is_adapted(model)
        if adapted and self._count == 0:  # the base, which never moves
            self._send(model, write_weights)
        self._send(model, write_adapter if adapted else write_weights)

    def _send(self, model: nn.Module, write: Callable[[nn.Module, Path], int]) -> None:
        self._count += 1
        directory = self._exchange / self._weights
        size = write(model, directory)
        seconds = self._patience + size / LOADING
        from_main(lambda: within(self._engine, seconds, lambda: self._engine.load(directory)))
        shutil.rmtree(directory)

    def _answers(self, requests: Sequence[Request]) -> list[list[Answer]]:
        def asked() -> list[list[dict[str, Any]]]:
            found = answers(self._engine, requests, patience=self._patience)
            return [[asdict(answer) for answer in responses] for responses in found]

        return [[Answer(**told) for told in responses] for responses in from_main(asked)]

    def _drawn_probe(self, model: nn.Module) -> Sampled:
        probed = self._probed
        return self.sample(
            model, probed.prompts, range(len(probed.prompts)), group=1, seed=0, pad_id=0,
            sampling=probed.sampling, max_tokens=probed.max_tokens, eos_ids=probed.eos_ids,
        )  # fmt: skip

    def _by_trainer(self, model: nn.Module, rows: Sampled, sampling: Sampling) -> Tensor:
        """[N] nats of the probe's tokens."""
        columns = rows.token_ids, rows.mask
        with torch.no_grad():
            found = response_logprobs(model, self._probed.prompts, *columns, sampling=sampling)
        check_finite(found)
        return found[rows.mask].float().cpu()

    def _by_engine(self, rows: Sampled) -> Tensor:
        """[N] nats of the same tokens, at temperature 1."""
        said = [ids[mask].tolist() for ids, mask in zip(rows.token_ids, rows.mask, strict=True)]
        requests = [
            Request(prompt=[*prompt, *response], weights=self._weights, score_prompt=True)
            for prompt, response in zip(self._probed.prompts, said, strict=True)
        ]
        found = self._answers(requests)
        scores = [
            score
            for [answer], response in zip(found, said, strict=True)
            for score in answer.prompt_logprobs[-len(response) :]
        ]
        return torch.tensor(scores)


def _seed(seed: int, step: int, prompt_id: int) -> int:
    """Of the first response to a prompt; 62 bits leave room for the number of the sample."""
    key = struct.pack("<3q", seed, step, prompt_id)
    return int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "little") >> 2


def _columns(
    rows: Sequence[Answer], numbers: Tensor, pad_id: int, *, greedy: bool, device: torch.device
) -> Sampled:
    """[B, T]: responses as rows; under greedy decoding, a point mass, log-probs are 0."""
    shape = len(rows), max((len(row.token_ids) for row in rows), default=0)
    token_ids, mask = torch.full(shape, pad_id), torch.zeros(shape, dtype=torch.bool)
    logprobs = torch.zeros(shape)
    for place, row in enumerate(rows):
        size = len(row.token_ids)
        token_ids[place, :size], mask[place, :size] = torch.tensor(row.token_ids), True
        logprobs[place, :size] = torch.tensor(row.logprobs)
    columns = token_ids, mask, logprobs * (not greedy)
    truncated = torch.tensor([row.truncated for row in rows])
    return Sampled(*(column.to(device) for column in (*columns, truncated, numbers)))
