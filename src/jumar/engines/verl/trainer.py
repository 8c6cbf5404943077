"""verl's synchronous Ray trainer with jumar's algorithms: `trainer.v1.trainer_mode=jumar`.

verl samples, scores, keeps the models and updates them. In between, the algorithm sees the whole
rollout here, with every column that verl has; its signals go to the workers through verl's
TransferQueue, and the loss there is jumar's.
"""

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from jumar.engines.verl import loss, provision, replay, signals
from jumar.engines.verl.columns import ROLLOUT_FIELDS, STEP, prompt_id, rollout_of
from jumar.engines.verl.host import (
    OmegaConf,
    PPOTrainerSync,
    Role,
    TensorDict,
    list_of_dict_to_tensordict,
    ray,
    register_trainer,
    transfer_queue,
    validate_config,
)
from jumar.engines.verl.settings import read
from jumar.engines.verl.values import read_values
from jumar.engines.verl.watch import Watch
from jumar.engines.verl.worker import JumarTrainingWorker, JumarWorker
from jumar.errors import EngineError
from jumar.types import RolloutBatch, State

STATE_FILE = "jumar.safetensors"


@register_trainer("jumar")
class JumarTrainer(PPOTrainerSync):
    """Samples with verl and learns with jumar; a fixed batch takes the place of the samples."""

    def __init__(self, config: Any) -> None:
        section = OmegaConf.select(config, "jumar")
        self.settings = read(OmegaConf.to_container(section, resolve=True) if section else None)
        self.algorithm = self.settings.record()
        self.state: State = self.algorithm.init_state()
        self.values = read_values(self.settings.values) if self.settings.values else None
        self.fixed = replay.FixedBatch.read(self.settings) if self.settings.batch else None
        stored = set(self.fixed.batch.columns) if self.fixed else set()
        stored |= self.settings.provides()
        provision.check(self.algorithm, self.settings, config, stored)
        provision.switch_passes(self.algorithm, config)
        config.trainer.v1.trainer_mode = "sync"  # verl takes every other name for asynchronous
        reference, critic = config.actor_rollout_ref.actor.use_kl_loss, config.critic.enable
        validate_config(config, use_reference_policy=reference, use_critic=critic)
        super().__init__(config)

    # ------------------------------------------------------------------ the start

    def _init_resource_pool_mgr(self) -> None:
        super()._init_resource_pool_mgr()
        for role in self.role_worker_mapping:
            worker = JumarTrainingWorker if role == Role.Critic else JumarWorker
            self.role_worker_mapping[role] = ray.remote(worker)

    def on_init_end(self) -> None:
        """Give the workers their losses; one that has another jumar refuses it."""
        self.actor_rollout_wg.set_loss_fn(loss.of_policy(self.algorithm))
        if self.use_critic:
            self.critic_wg.set_loss_fn(loss.of_critic(self.algorithm))
        if self.fixed is not None:
            batch = self._with_values(self.fixed.batch, self.fixed.prompts)
            self.fixed = self.fixed.with_signals(self.algorithm, batch)
        super().on_init_end()

    def fit(self, agent_loop_manager: Any) -> None:
        """Train, and look after those that sample wherever verl waits for them."""
        servers = (s for replica in self.llm_server_manager.get_replicas() for s in replica.servers)
        loops = agent_loop_manager.agent_loop_workers
        watch = Watch({"verl's agent loop": loops, "verl's server of the sampler": servers})
        wait = self.replay_buffer._wait_for_next_poll

        def look_and_wait(*arguments: Any) -> Any:
            watch.look()
            return wait(*arguments)

        self.replay_buffer._wait_for_next_poll = look_and_wait
        super().fit(agent_loop_manager)

    # ------------------------------------------------------------------ one step

    def prepare_step(self) -> dict[str, Any]:
        """Ask for samples, or put the next groups of the fixed batch where samples would be."""
        if self.fixed is None:
            metrics: dict[str, Any] = super().prepare_step()
            return metrics
        part = self.fixed.step(self.global_steps - 1, self.config.data.train_batch_size)
        keys, rows, tags = part.as_sampled(self.global_steps)
        self.part = part.batch, {key: row for row, key in enumerate(keys)}
        fields = list_of_dict_to_tensordict(rows)
        transfer_queue.kv_batch_put(keys=keys, partition_id="train", fields=fields, tags=tags)
        prompts = sorted({row["uid"] for row in rows})
        done = {"is_prompt": True, "status": "finished", "global_steps": self.global_steps}
        tags = [done] * len(prompts)
        transfer_queue.kv_batch_put(keys=prompts, partition_id="train", tags=tags)
        return {}

    def _balance_batch(self, batch: Any, metrics: Any, *args: Any, **kwargs: Any) -> Any:
        batch = super()._balance_batch(batch, metrics, *args, **kwargs)
        if self.algorithm.unit == "group":
            self._join_groups(batch)
        return batch

    def _join_groups(self, batch: Any) -> None:
        """Rows of a group in a row, so that verl cuts between groups."""
        batch.reorder(sorted(range(len(batch)), key=lambda row: batch.keys[row]))
        size = self.config.actor_rollout_ref.rollout.n
        groups = Counter(key.split("_")[0] for key in batch.keys)
        if set(groups.values()) != {size}:
            raise EngineError(
                f"`{self.algorithm.name}` compares the responses of a group, but at step "
                f"{self.global_steps} a group has not the {size} of rollout.n. Some failed, and "
                "the rest would be compared with another group. Look for the reason above, after "
                "'Error in _run_prompt', and start again: verl goes on from its last checkpoint."
            )

    def _compute_old_log_prob(self, batch: Any, metrics: Any) -> Any:
        stored = self.fixed is not None and "old_logprobs" in self.fixed.batch
        if stored or not provision.needs_old_pass(self.algorithm, self.config):
            return batch
        return super()._compute_old_log_prob(batch, metrics)

    def _compute_advantage(self, batch: Any, metrics: Any) -> Any:
        """Signals of the whole rollout; those of a fixed batch were made of the whole of it."""
        place = {"keys": batch.keys, "partition_id": batch.partition_id}
        real = signals.real_rows(batch.tags)
        wanted = ROLLOUT_FIELDS if self.fixed is None else ("responses",)
        data = transfer_queue.kv_batch_get(**place, select_fields=list(wanted))
        lengths = data["responses"].offsets().diff()
        if self.fixed is None:
            found, rows, self.state, about = signals.with_signals(
                self.algorithm, self._rollout(data, batch.keys, real), self.state
            )
            metrics.update(about)
            fields = signals.signal_fields(found, real[rows], lengths)
        else:
            part, row_of = self.part
            found = part.select(torch.tensor([row_of[batch.keys[row]] for row in real.tolist()]))
            fields = signals.signal_fields(found, real, lengths, there=replay.OF_VERL)
        fields = TensorDict(fields, batch_size=len(batch))
        return transfer_queue.kv_batch_put(**place, fields=fields)

    def _rollout(self, data: Any, keys: Sequence[str], real: Tensor) -> RolloutBatch:
        """The rows that were sampled; verl fills a batch up with others."""
        rollout = rollout_of(
            data,
            keys,
            step=self.global_steps - 1,
            seed=self.settings.seed,
            full_mark=self.settings.full_mark,
            reads=self.algorithm.reads,
            numbers=self.settings.columns,
            parts=self.settings.reward_parts,
            end=self.tokenizer.eos_token_id,
            limit=self.config.data.max_response_length,
        )
        prompts = data["prompts"].unbind()
        return self._with_values(rollout.select(real), [prompts[row] for row in real.tolist()])

    def _with_values(self, batch: RolloutBatch, prompts: Sequence[Any]) -> RolloutBatch:
        if self.values is None:
            return batch
        ids = batch.prompt_ids.tolist()
        if self.values.of_whole_prompt:
            texts = (self.tokenizer.decode(p, skip_special_tokens=True) for p in prompts)
            ids = [prompt_id(text) for text in texts]
        return batch.with_columns(optimal_values=self.values.column(ids))

    def _update_critic(self, batch: Any, metrics: Any) -> Any:
        batch = super()._update_critic(self._informed(batch), metrics)
        loss.fold(metrics)
        return batch

    def _update_actor(self, batch: Any, metrics: Any) -> Any:
        batch = super()._update_actor(self._informed(batch), metrics)
        loss.fold(metrics)
        return batch

    def _informed(self, batch: Any) -> Any:
        """With what the workers have to know besides columns."""
        batch.fields = None  # all there are, those of passes after the last put too
        batch.extra_info[STEP] = self.global_steps - 1
        if self.algorithm.unit == "group":
            size = self.config.actor_rollout_ref.rollout.n
            rows = self.config.actor_rollout_ref.actor.ppo_micro_batch_size_per_gpu or size
            batch.extra_info["force_group_size"] = size
            batch.extra_info["micro_batch_size_per_gpu"] = max(1, rows // size)  # in groups
        return batch

    # ------------------------------------------------------------------ down and up again

    def _save_checkpoint(self) -> None:
        if self.state:
            path = Path(self.config.trainer.default_local_dir) / f"global_step_{self.global_steps}"
            path.mkdir(parents=True, exist_ok=True)
            save_file(dict(self.state), path / STATE_FILE)
        super()._save_checkpoint()

    def _load_checkpoint(self) -> None:
        super()._load_checkpoint()
        if self.global_steps and self.state:
            trainer = self.config.trainer
            path = Path(trainer.default_local_dir) / f"global_step_{self.global_steps}"
            if trainer.resume_mode == "resume_path":
                path = Path(trainer.resume_from_path)
            self.state = load_file(os.path.abspath(path / STATE_FILE))
