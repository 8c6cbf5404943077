"""TRL's own quickstart, with a model directory and a data file instead of names on the hub.

    python examples/trl_grpo.py MODEL DATA.jsonl

A row has `prompt`, a list of messages, and `solution`. The configuration is for a machine without a
GPU. examples/trl_owpo.py is the same with OWPO.
"""

import sys

from datasets import load_dataset
from trl import GRPOConfig, GRPOTrainer
from trl.rewards import accuracy_reward

dataset = load_dataset("json", data_files=sys.argv[2], split="train")

trainer = GRPOTrainer(
    model=sys.argv[1],
    reward_funcs=accuracy_reward,
    args=GRPOConfig("trl-run", bf16=False, max_completion_length=64),
    train_dataset=dataset,
)
trainer.train()
