"""Run by torchrun: the case on TRL in several processes; the first one writes the differences."""

import json
import os
import sys
from pathlib import Path

import torch

from parity.case import algorithm, case, difference, ours
from parity.trl_host import theirs

# filtered and with a reference, with statistics of the step, in groups, over the vocabulary,
# with a teacher
NAMES = ("owpo", "bapo", "rebel", "gkd", "kdrl")


def main(folder: Path, file: Path) -> None:
    torch.set_num_threads(1)
    rank, world, found = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"]), {}
    # before TRL makes the processes one group, over which our engine would deal the work
    wanted = {name: ours(algorithm(name), case()) for name in NAMES}
    for name in NAMES:
        own = folder / f"{name}-{rank}"
        found[name] = difference(
            wanted[name], theirs(algorithm(name), case(), own, processes=world)
        )
    if rank == 0:
        file.write_text(json.dumps(found))
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
