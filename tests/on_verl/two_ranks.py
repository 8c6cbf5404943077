"""Two ranks of verl's trainer and workers, each with half the rows: torchrun two_ranks.py FILE.

Every rank plays the whole trainer; passes are made by both, and each trains on its own half. At the
end there is an error that must show: each rank counts its own rows only.
"""

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch.distributed

sys.path.insert(0, str(Path(__file__).parents[1]))

from verl.utils import tensordict_utils as tu

from jumar.engines.verl.worker import JumarTrainingWorker
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


def gap(name: str) -> dict[str, float]:
    """Between the two and our own engine."""
    with tempfile.TemporaryDirectory() as folder:
        theirs = verl_host.theirs(algorithm(name), case(), Path(folder))
    return difference(WANTED[name], theirs)._asdict()


# before verl makes the processes one group, over which our engine would deal the work
WANTED = {name: ours(algorithm(name), case()) for name in NAMES}
found = {name: gap(name) for name in NAMES}
JumarTrainingWorker._gathered = lambda self, mine: [mine]
found["own rows only"] = gap("owpo")
if torch.distributed.get_rank() == 0:
    Path(sys.argv[1]).write_text(json.dumps(found))
torch.distributed.barrier()
torch.distributed.destroy_process_group()
