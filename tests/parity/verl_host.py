"""The case on verl: its trainer's own step in this process, on one rank of gloo.

Stood in for are the parts that need Ray or a server: its queue is a dictionary, a group of workers
is one worker, and the sampler's answers are given. The rest of a step is verl's own code: what
becomes of an answer, passes for log-probs, balancing, mini-batches, micro-batches, scaling. The old
log-probs are of `earlier`; the optimiser has a learning rate of 0, so the models stay as they are.
"""

import asyncio
import os
import tempfile
from collections.abc import Mapping
from copy import deepcopy
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
import verl.trainer.config
import verl.utils.model
from hydra import compose, initialize_config_dir
from torch import Tensor, nn
from transfer_queue import KVBatchMeta
from transformers import AutoModelForTokenClassification
from verl.experimental.agent_loop import AgentLoopOutput
from verl.trainer.ppo.v1.agent_loop_tq import AgentLoopWorkerTQ
from verl.utils import tensordict_utils as tu
from verl.workers.config import (
    FSDPEngineConfig,
    FSDPOptimizerConfig,
    HFModelConfig,
    TrainingWorkerConfig,
)

from jumar.algorithm import Algorithm
from jumar.engines.local.forward import response_logprobs
from jumar.engines.local.sampler import Sampling
from jumar.engines.verl.trainer import JumarTrainer
from jumar.engines.verl.worker import JumarTrainingWorker

from .case import EOS, LIMIT, PAD, QUESTIONS, Case, Found, case
from .records import About
from .verl_queue import Queue, standing_in
from .verl_section import OF_PROMPT, OF_RESPONSE, section

ABOUT = About(
    name="verl",
    packages=("torch", "transformers", "verl", "TransferQueue"),
    ran="a step of its Ray trainer in one process, on FSDP2 with gloo, two micro-batches of eight "
    "rows; the sampler's answers and the teacher server's log-probs are given; verl computes in "
    "float32 at most",
    tolerance=1e-5,
)
SINGLE = {
    "RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0",
    "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29613",
}  # fmt: skip
EXACT = {"param_dtype": "fp32", "reduce_dtype": "fp32", "buffer_dtype": "fp32"}
SMALL = [
    "trainer.v1.trainer_mode=jumar",
    "trainer.device=cpu",
    "trainer.n_gpus_per_node=1",
    "trainer.resume_mode=disable",
    "data.train_batch_size=4",
    f"data.max_response_length={LIMIT}",
    "actor_rollout_ref.rollout.name=vllm",
    "actor_rollout_ref.rollout.n=4",
    "actor_rollout_ref.rollout.log_prob_micro_batch_size_per_gpu=8",
    "actor_rollout_ref.ref.log_prob_micro_batch_size_per_gpu=8",
    "actor_rollout_ref.actor.ppo_mini_batch_size=4",
    "actor_rollout_ref.actor.ppo_micro_batch_size_per_gpu=8",
    "actor_rollout_ref.actor.ppo_epochs=2",  # so that the old log-probs take a pass
    "critic.ppo_micro_batch_size_per_gpu=8",
    "critic.ppo_epochs=2",
    "+critic.model.load_tokenizer=False",
]


def theirs(algorithm: Algorithm, case: Case, folder: Path, *overrides: str) -> Found:
    """One optimiser step by verl's trainer, with further settings."""
    with standing_in() as queue:
        return models().step(algorithm, queue, case, folder, *overrides)[0]


@cache
def models() -> "Host":
    """verl's workers with the case's models, which every algorithm shares."""
    return Host(case(), Path(tempfile.mkdtemp()))


class Host:
    """The case's models in verl's workers, for any number of algorithms."""

    def __init__(self, case: Case, folder: Path) -> None:
        self.places = places = {
            name: folder / name for name in ("policy", "earlier", "reference", "critic")
        }
        for name, path in places.items():
            _save(getattr(case, name), path)
        self.policy, self.earlier = worker(places["policy"]), worker(places["earlier"], frozen=True)
        self.reference = worker(places["reference"], frozen=True)
        self.critic = worker(places["critic"], kind="value_model")
        self.gradients = Recorded(self.policy)

    def step(
        self, algorithm: Algorithm, queue: Queue, case: Case, folder: Path, *overrides: str
    ) -> tuple[Found, Mapping[str, Any]]:
        """The first optimiser step on the case's rollout, and verl's metrics."""
        trainer = self.trainer(queue, [*section(algorithm, case, folder), *overrides])
        metrics: dict[str, Any] = {}
        if trainer.fixed is None:
            sample(queue, case, teacher=trainer.config.distillation.enabled)
        else:
            trainer.prepare_step()
        trainer._step_once(metrics, {}, trainer.config.data.train_batch_size)
        loss = metrics["actor/loss"] + metrics.get("critic/loss", 0.0)
        return Found(loss=loss, gradients=dict(self.gradients.found)), metrics

    def trainer(self, queue: Queue, overrides: list[str]) -> JumarTrainer:
        """verl's trainer as `init` leaves it."""
        folder = str(Path(verl.trainer.config.__file__).parent)
        with initialize_config_dir(config_dir=folder, version_base=None):
            here = f"critic.model.path={self.places['critic']}"
            trainer = JumarTrainer(compose("ppo_trainer", overrides=[*SMALL, here, *overrides]))
        trainer.global_steps, trainer.curr_step_profile = 1, False
        trainer.tokenizer = SimpleNamespace(eos_token_id=EOS, pad_token_id=PAD)
        trainer.actor_rollout_wg = Workers(queue, self.policy, self.earlier)
        trainer.ref_policy_wg, trainer.ref_in_actor = Workers(queue, asked=self.reference), False
        trainer.critic_wg = Workers(queue, self.critic, self.critic)
        trainer.reward_loop_manager = SimpleNamespace(reward_loop_worker_handles=["rewards"])
        trainer.checkpoint_manager = SimpleNamespace(
            sleep_replicas=lambda: None, update_weights=lambda *_: None
        )
        trainer.distillation_config = SimpleNamespace(
            distillation_loss=SimpleNamespace(
                loss_settings=SimpleNamespace(use_topk=False),
                use_task_rewards=True,
                use_policy_gradient=False,
            )
        )
        trainer.on_init_end()
        return trainer


def sample(queue: Queue, case: Case, *, teacher: bool) -> None:
    """Put the case's responses into the queue as verl's agent loop does."""

    async def taught(sequence_ids: list[int], **_: Any) -> tuple[Tensor, Tensor]:
        """What verl's teacher server answers: [S, 1] nats about the token after each, then a 0."""
        ids = torch.tensor([sequence_ids[1:]])
        mask, prompt = torch.ones_like(ids).bool(), [sequence_ids[:1]]
        scored = response_logprobs(case.teacher, prompt, ids, mask, sampling=Sampling())
        column = torch.cat([scored[0].detach().float(), torch.zeros(1)])[:, None]
        return torch.tensor(sequence_ids)[:, None].int(), column

    loop = object.__new__(AgentLoopWorkerTQ.__ray_metadata__.modified_class)
    loop.processor, loop.reward_loop_worker_handles = None, None
    loop.distillation_enabled, loop.teacher_key = teacher, "data_source"
    loop.teacher_server_manager = SimpleNamespace(compute_teacher_logprobs_single=taught)
    for row, group in enumerate(case.rollout.group_ids.tolist()):
        asked = [{"role": "user", "content": QUESTIONS[group]}]
        numbers = {name: float(case.rollout[name][row]) for name in OF_PROMPT}
        asyncio.run(
            loop._agent_loop_postprocess(
                answer(case, row), validate=False, uid=f"g{group}", session_id=row % 4,
                global_steps=1, raw_prompt=asked, extra_info=numbers,
            )
        )  # fmt: skip
    done = {"is_prompt": True, "status": "finished", "global_steps": 1}
    queue.kv_batch_put([f"g{group}" for group in range(4)], "train", tags=[done] * 4)


def answer(case: Case, row: int) -> AgentLoopOutput:
    """A response as verl's sampler gives it."""
    batch = case.rollout
    length = int((batch.mask[row] * torch.arange(1, LIMIT + 1)).max())
    return AgentLoopOutput(
        prompt_ids=case.prompts[row],
        response_ids=batch.token_ids[row][:length].tolist(),
        response_mask=batch.mask[row][:length].long().tolist(),
        response_logprobs=batch.rollout_logprobs[row][:length].tolist(),
        reward_score=float(batch.scores[row]),
        num_turns=2,
        metrics={},
        extra_fields={
            "min_global_steps": 0,
            "max_global_steps": 0,
            "reward_extra_info": {
                "pred": int(batch.answer_ids[row]),
                **{name: float(batch[name][row]) for name in OF_RESPONSE},
                **{f"part{k}": part for k, part in enumerate(batch.reward_parts[row].tolist())},
            },
        },
    )


class Workers:
    """A group of one: the model that is trained, and one that only answers."""

    def __init__(self, queue: Queue, trained: Any = None, asked: Any = None) -> None:
        self.queue, self.trained, self.asked = queue, trained, asked
        self._dispatch_info = {"actor": [0]}

    def set_loss_fn(self, loss: Any) -> None:
        self.trained.set_loss_fn(loss)

    def compute_log_prob(self, batch: KVBatchMeta) -> KVBatchMeta:
        output = self.asked.infer_batch(self._data(batch))
        return self.queue.kv_batch_put(batch.keys, batch.partition_id, output.exclude("metrics"))

    compute_ref_log_prob = compute_log_prob

    def infer_batch(self, batch: KVBatchMeta) -> Any:
        self.compute_log_prob(batch)
        return SimpleNamespace(futures=[])

    def update_actor(self, batch: KVBatchMeta) -> Any:
        return self.trained.train_mini_batch(self._data(batch))

    def train_mini_batch(self, batch: KVBatchMeta) -> Any:
        return SimpleNamespace(get=lambda: self.update_actor(batch))

    def _data(self, batch: KVBatchMeta) -> Any:
        data = self.queue.kv_batch_get(batch.keys, batch.partition_id, batch.fields)
        for name, value in batch.extra_info.items():
            tu.assign_non_tensor_data(data, name, value)
        return data


class Recorded:
    """The gradients of a worker's parameters at its newest optimiser step."""

    def __init__(self, worker: Any) -> None:
        self.module, self.found = worker.engine.module, {}
        worker.engine.optimizer.register_step_pre_hook(self._keep)

    def _keep(self, *_: Any) -> None:
        whole = {name: p.grad.full_tensor() for name, p in self.module.named_parameters()}
        self.found = {name: gradient.clone() for name, gradient in whole.items()}


def worker(path: Path, *, kind: str = "language_model", frozen: bool = False) -> Any:
    """verl's training worker with the model of a directory."""
    os.environ |= {name: os.environ.get(name, value) for name, value in SINGLE.items()}
    verl.utils.model.load_valuehead_model = _critic  # verl's insists on flash attention
    config = TrainingWorkerConfig(
        model_type=kind,
        model_config=HFModelConfig(
            path=str(path),
            load_tokenizer=False,
            use_remove_padding=False,
            enable_gradient_checkpointing=False,
            override_config={"attn_implementation": "sdpa"},
        ),
        engine_config=FSDPEngineConfig(
            strategy="fsdp2",
            forward_only=frozen,
            use_dynamic_bsz=False,
            micro_batch_size_per_gpu=8,
            infer_micro_batch_size_per_gpu=8,
            use_torch_compile=False,
            mixed_precision=EXACT,
        ),
        optimizer_config=FSDPOptimizerConfig(lr=0.0, clip_grad=1e9, total_training_steps=1),
    )
    made = JumarTrainingWorker(config)
    made.reset()
    return made


def _critic(local_path: str, torch_dtype: Any, model_config: Any, trust_remote_code: bool) -> Any:
    return AutoModelForTokenClassification.from_pretrained(
        local_path, dtype=torch_dtype, config=model_config, attn_implementation="sdpa"
    )


def _save(model: nn.Module, path: Path) -> None:
    single = deepcopy(model).float()
    single.config.architectures = [type(model).__name__]
    single.save_pretrained(path)
