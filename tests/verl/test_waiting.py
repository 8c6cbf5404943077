"""What does not come is not waited for. `test_ray` shows the same of processes that were killed."""

import asyncio
import tempfile
from typing import Any

import pytest
import torch
from verl.workers.rollout.vllm_rollout.bucketed_weight_transfer import BucketedWeightSender

from jumar.engines.verl import host, worker
from jumar.errors import EngineError


def test_a_sampler_that_does_not_take_the_weights_is_not_waited_for(monkeypatch) -> None:
    async def send(self: Any, *_: Any) -> None:
        """As verl does, in its own words, to nobody."""
        with tempfile.TemporaryDirectory() as folder:
            sender = BucketedWeightSender(f"ipc://{folder}/socket", use_shm=True)
            await sender.async_send_weights(iter([("weight", torch.zeros(1))]))

    monkeypatch.setattr(host.ActorRolloutRefWorker, "update_weights", send)
    monkeypatch.setattr(worker, "SYNC_SECONDS", 1)
    with pytest.raises(EngineError, match=r"nothing for 1 seconds .* of step 7.*start again"):
        asyncio.run(object.__new__(worker.JumarWorker).update_weights(7))
