"""What does not come is told, and not waited for; `test_ray` shows it of processes that died."""

import asyncio
import os
import signal
import tempfile
import time
from types import SimpleNamespace
from typing import Any

import pytest
import ray
import torch
from omegaconf import OmegaConf
from transfer_queue import KVBatchMeta
from verl.workers.rollout.vllm_rollout.bucketed_weight_transfer import BucketedWeightSender

from jumar import algorithms
from jumar.engines.verl import host, worker
from jumar.engines.verl.trainer import JumarTrainer
from jumar.engines.verl.watch import Watch
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


def look_for_a_minute(watch: Watch) -> None:
    for _ in range(120):
        watch.look()
        time.sleep(0.5)


def test_a_dead_agent_loop_is_told_and_a_living_one_is_not() -> None:
    class Loop:
        """An actor with a process of its own, which gets the class itself: no file to import."""

        async def process(self) -> int:
            return os.getpid()

    ray.init(num_cpus=2, include_dashboard=False)
    try:
        loops = [ray.remote(Loop).remote() for _ in range(2)]
        processes = ray.get([loop.process.remote() for loop in loops])
        watch = Watch({"verl's agent loop": loops})
        watch.look()
        os.kill(processes[1], signal.SIGKILL)
        with pytest.raises(EngineError, match=r"(?s)agent loop died .*start again: verl"):
            look_for_a_minute(watch)
    finally:
        ray.shutdown()


def joined(*keys: str) -> list[str]:
    """The rows of a batch in the order in which a loss of whole groups gets them."""
    trainer = SimpleNamespace(
        algorithm=algorithms.get("rebel"),
        config=OmegaConf.create({"actor_rollout_ref": {"rollout": {"n": 2}}}),
        global_steps=3,
    )
    tags = [{"key": key} for key in keys]
    batch = KVBatchMeta(keys=list(keys), partition_id="train", tags=tags)
    JumarTrainer._join_groups(trainer, batch)
    assert [tag["key"] for tag in batch.tags] == batch.keys
    return batch.keys


@pytest.mark.parametrize("failed", ["a_1_0", "b_0_0"])
def test_a_group_of_which_a_response_failed_is_not_compared_with_another(failed: str) -> None:
    rows = ["b_1_0", "a_0_0", "b_0_0", "a_1_0"]
    assert joined(*rows) == ["a_0_0", "a_1_0", "b_0_0", "b_1_0"]
    with pytest.raises(EngineError, match=r"at step 3 .* the 2 of rollout.n.*start again"):
        joined(*(row for row in rows if row != failed))
