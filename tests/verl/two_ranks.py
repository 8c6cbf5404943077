"""Two ranks of verl's trainer and workers, each with half the rows: torchrun two_ranks.py FILE.

Every rank plays the whole trainer; passes are made by both, and each trains on its own half.
"""

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch.distributed

sys.path.insert(0, str(Path(__file__).parents[1]))

from verl.utils import tensordict_utils as tu

from parity import verl_host
from parity.case import algorithm, case, difference, ours

NAMES = ("owpo", "bapo", "rebel", "ppo", "kdrl")


class HalfOfThem(verl_host.Workers):
    """The group of two workers, of which this process is one."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._dispatch_info = {"actor": [0, 1]}

    def update_actor(self, batch: Any) -> Any:
        half = tu.chunk_tensordict(self._data(batch), 2)[torch.distributed.get_rank()]
        return self.trained.train_mini_batch(half)


verl_host.Workers = HalfOfThem
verl_host.SMALL += [
    "trainer.n_gpus_per_node=2",
    "actor_rollout_ref.actor.ppo_micro_batch_size_per_gpu=4",
    "critic.ppo_micro_batch_size_per_gpu=4",
]
found = {}
for name in NAMES:
    record, small = algorithm(name), case()
    with tempfile.TemporaryDirectory() as folder:
        theirs = verl_host.theirs(record, small, Path(folder))
    found[name] = difference(ours(record, small), theirs)._asdict()
if torch.distributed.get_rank() == 0:
    Path(sys.argv[1]).write_text(json.dumps(found))
torch.distributed.barrier()
torch.distributed.destroy_process_group()
