"""The largest sum of live tensors while an algorithm's loss goes backward, in bytes.

Counted by watching every operation's storages, so it is exact and the same on any machine; weights
are not counted, gradients are.
"""

import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers import LlamaConfig, LlamaForCausalLM

from jumar import algorithms
from jumar.algorithm import Algorithm
from jumar.engines.local.models import new_critic
from jumar.engines.local.update import Models, Updater
from jumar.engines.settings import EngineSettings
from jumar.types import COLUMNS, RolloutBatch

VOCABULARY, PROMPT, RESPONSE = 32_000, 64, 512  # tokens


class LiveBytes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Bytes of the tensors that were made inside and are still alive; `peak` is their maximum."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now = self.peak = 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = {_storage(t) for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)}
        out = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(out):
            if isinstance(tensor, Tensor) and _storage(tensor) not in given | self._known:
                self._add(tensor)
        return out

    def _add(self, tensor: Tensor) -> None:
        storage, key = tensor.untyped_storage(), _storage(tensor)
        size = storage.nbytes()
        self._known.add(key)
        self.now += size
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._drop, key, size)

    def _drop(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.now -= size


def _storage(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)


def peak_bytes(algorithm: Algorithm, *, responses: int) -> int:
    """Of one update on a micro-batch of `responses` to one prompt."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        policy = LlamaForCausalLM(
            LlamaConfig(
                vocab_size=VOCABULARY, hidden_size=256, intermediate_size=768,
                num_hidden_layers=4, num_attention_heads=4, num_key_value_heads=4,
            )
        )  # fmt: skip
        critic = new_critic(policy) if algorithm.value_loss is not None else None
        batch = _batch(algorithm, responses)
    updater = Updater(
        algorithm=algorithm,
        models=Models(policy=policy.eval(), critic=critic),
        settings=EngineSettings(),
        optimisers=[],
        directory=Path(),
    )
    prompts = [[1] * PROMPT] * responses
    batch, _, _ = updater.with_signals(batch, algorithm.init_state())
    with LiveBytes() as live:
        updater.step(batch, prompts, torch.arange(responses))
    return int(live.peak)


def _batch(algorithm: Algorithm, responses: int) -> RolloutBatch:
    shape = {"B": (responses,), "BT": (responses, RESPONSE)}
    reads = algorithm.reads - {"values"} | ({"old_values"} if algorithm.value_loss else set())
    columns: Any = {name: -torch.rand(shape[COLUMNS[name].shape]) for name in sorted(reads)}
    first = torch.arange(responses) == 0
    return RolloutBatch.build(
        token_ids=torch.randint(0, VOCABULARY, shape["BT"]),
        mask=torch.ones(shape["BT"], dtype=torch.bool),
        truncated=torch.zeros(responses, dtype=torch.bool),
        scores=first.float(), correct=first, rewards=first.float(),
        group_ids=torch.zeros(responses, dtype=torch.long),
        prompt_ids=torch.zeros(responses, dtype=torch.long),
        sample_ids=torch.arange(responses),
        **columns,
    )  # fmt: skip


def measured(cases: Mapping[str, tuple[Mapping[str, Any], int]]) -> dict[str, int]:
    """Peak bytes by name, of algorithms as recipes write them with their responses."""
    return {
        name: peak_bytes(algorithms.get(**recipe), responses=responses)
        for name, (recipe, responses) in cases.items()
    }
