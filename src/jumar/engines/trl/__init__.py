"""TRL as the host: its loop, sampling and configuration, our signals and our loss.

JumarGRPOTrainer(algorithm=owpo(), model=..., reward_funcs=..., args=..., train_dataset=...)
task_dataset(task), task_reward(task)       a task of ours as TRL's data set and reward function
"""

from jumar.engines.trl.tasks import task_dataset, task_reward
from jumar.engines.trl.trainer import JumarGRPOTrainer

__all__ = ["JumarGRPOTrainer", "task_dataset", "task_reward"]
