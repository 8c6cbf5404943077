"""TRL's own quickstart with OWPO in the place of GRPO: four lines of examples/trl_grpo.py changed.

    python examples/trl_owpo.py MODEL DATA.jsonl

A row has `prompt`, a list of messages, and `solution`.
"""

import sys

from datasets import load_dataset
from trl import GRPOConfig
from trl.rewards import accuracy_reward

from jumar.engines.trl import JumarGRPOTrainer as GRPOTrainer

dataset = load_dataset("json", data_files=sys.argv[2], split="train")

trainer = GRPOTrainer(
    algorithm="owpo",
    model=sys.argv[1],
    reward_funcs=accuracy_reward,
    args=GRPOConfig("trl-run", bf16=False, max_completion_length=64),
    train_dataset=dataset,
)
trainer.train()
