"""Every name of verl that the adapter touches, in one place; a test fails when one is gone.

Almost all of it is private, so the adapter is for one version of verl and says so in another.
Without verl this module still imports, and nothing that needs it can be used.
"""

from importlib.metadata import PackageNotFoundError, version
from types import SimpleNamespace
from typing import Any

from jumar.errors import ConfigurationError

SUPPORTED = "0.9.1"

# by file of verl: functions, methods with their parameters, attributes, and "fields" of a batch
TOUCHED = {
    "trainer/ppo/v1/trainer_base.py": """
        register_trainer(name)
        PPOTrainer.__init__(self, config)
        PPOTrainer._init_resource_pool_mgr(self)
        PPOTrainer.fit(self, agent_loop_manager)
        PPOTrainer.prepare_step(self)
        PPOTrainer._balance_batch(self, batch, metrics, logging_prefix, keep_minibatch)
        PPOTrainer._compute_old_log_prob(self, batch, metrics)
        PPOTrainer._compute_advantage(self, batch, metrics)
        PPOTrainer._update_critic(self, batch, metrics)
        PPOTrainer._update_actor(self, batch, metrics)
        PPOTrainer._save_checkpoint(self)
        PPOTrainer._load_checkpoint(self)
        PPOTrainer.config
        PPOTrainer.tokenizer
        PPOTrainer.global_steps
        PPOTrainer.role_worker_mapping
        PPOTrainer.actor_rollout_wg
        PPOTrainer.critic_wg
        PPOTrainer.use_critic
        PPOTrainer.replay_buffer
        PPOTrainer.llm_server_manager
        "rm_scores" "uid" "old_log_probs" "ref_log_prob" "rollout_log_probs" "values"
        "prompts" "responses" "response_mask" "raw_prompt" "advantages" "returns"
        "entropy" "is_prompt" "is_padding" "min_global_steps" "max_global_steps" "seq_len"
    """,
    "trainer/ppo/v1/trainer_sync.py": "PPOTrainerSync.on_init_end(self)",
    "trainer/ppo/v1/agent_loop_tq.py": """
        "input_ids" "position_ids" "loss_mask" "multi_modal_inputs" "prompt_len" "response_len"
    """,
    "trainer/ppo/v1/replay_buffer.py": """
        ReplayBuffer._wait_for_next_poll(self, partition_id, last_debug_time)
        "reward_extra_info" "extra_fields" "finished"
    """,
    "utils/dataset/rl_dataset.py": '"extra_info"',
    "experimental/agent_loop/agent_loop.py": """
        AgentLoopManager.agent_loop_workers AgentLoopOutput.num_turns "teacher_logprobs"
    """,
    "trainer/ppo/utils.py": "Role.Critic",
    "utils/config.py": "validate_config(config, use_reference_policy, use_critic)",
    "utils/metric/utils.py": "AggregationType.SUM Metric.__init__(self, aggregation, value)",
    "utils/tensordict_utils.py": "list_of_dict_to_tensordict(list_of_dicts)",
    "workers/utils/padding.py": "no_padding_2_padding(tensor, data)",
    "workers/engine_workers.py": """
        TrainingWorker.set_loss_fn(self, loss_fn)
        TrainingWorker.train_batch(self, data)
        TrainingWorker.infer_batch(self, data)
        TrainingWorker.loss_fn
        TrainingWorker.engine
        ActorRolloutRefWorker.actor_worker_cls
        ActorRolloutRefWorker.set_loss_fn(self, loss_fn)
        ActorRolloutRefWorker.update_weights(self, global_steps, mode)
    """,
    "workers/rollout/llm_server.py": "LLMServerManager.get_replicas(self)",
    "workers/rollout/replica.py": "RolloutReplica.servers",
    "workers/rollout/vllm_rollout/bucketed_weight_transfer.py": "BucketedWeightSender.zmq_context",
    "workers/engine/fsdp/transformer_impl.py": """
        FSDPEngine.get_data_parallel_group(self)
        "dp_size" "log_probs" "entropy" "calculate_entropy"
    """,
    "workers/engine/utils.py": '"force_group_size" "micro_batch_size_per_gpu"',
    "single_controller/base/decorator.py": """
        register(dispatch_mode, execute_mode, blocking, materialize_futures)
        make_nd_compute_dataproto_dispatch_fn(mesh_name)
        Dispatch "ONE_TO_ALL"
    """,
}

PROBLEM: ImportError | None = None  # why verl's names are not here

try:
    import ray as ray
    import transfer_queue as transfer_queue
    import zmq as zmq
    from omegaconf import OmegaConf as OmegaConf
    from tensordict import TensorDict as TensorDict
    from verl.single_controller.base.decorator import Dispatch as Dispatch
    from verl.single_controller.base.decorator import (
        make_nd_compute_dataproto_dispatch_fn as make_nd_compute_dataproto_dispatch_fn,
    )
    from verl.single_controller.base.decorator import register as register
    from verl.trainer.ppo.utils import Role as Role
    from verl.trainer.ppo.v1.trainer_base import register_trainer as register_trainer
    from verl.trainer.ppo.v1.trainer_sync import PPOTrainerSync as PPOTrainerSync
    from verl.utils.config import validate_config as validate_config
    from verl.utils.metric import AggregationType as AggregationType
    from verl.utils.metric import Metric as Metric
    from verl.utils.tensordict_utils import (
        list_of_dict_to_tensordict as list_of_dict_to_tensordict,
    )
    from verl.workers.engine_workers import ActorRolloutRefWorker as ActorRolloutRefWorker
    from verl.workers.engine_workers import TrainingWorker as TrainingWorker
    from verl.workers.utils.padding import no_padding_2_padding as no_padding_2_padding
except ImportError as error:
    PROBLEM = error
    ray = transfer_queue = zmq = OmegaConf = TensorDict = Role = validate_config = None
    AggregationType = Metric = list_of_dict_to_tensordict = no_padding_2_padding = None
    PPOTrainerSync = ActorRolloutRefWorker = TrainingWorker = object
    Dispatch = SimpleNamespace(ONE_TO_ALL=None)

    def register(*_: Any, **__: Any) -> Any:
        """A decorator that changes nothing."""
        return lambda made: made

    register_trainer = make_nd_compute_dataproto_dispatch_fn = register


def require_verl() -> None:
    """Raise a ConfigurationError unless the verl that this adapter was written for is there."""
    try:
        found = version("verl")
    except PackageNotFoundError:
        found = "not installed"
    if found != SUPPORTED or PROBLEM is not None:
        reason = f" and something is missing: {PROBLEM}" if PROBLEM else ""
        raise ConfigurationError(
            f"jumar's trainer extends that of verl {SUPPORTED}, and verl is {found}{reason}. It "
            "touches private names, which another version may have changed. Install it with "
            "`pip install 'jumar[verl]'`, on every node."
        )
