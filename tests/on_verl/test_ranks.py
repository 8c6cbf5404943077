"""Two data-parallel ranks make the loss and the gradients of one, and a planted error shows."""

import json
import os
import subprocess
import sys
from pathlib import Path

from parity.records import stored


def test_two_ranks_give_those_of_one(tmp_path: Path) -> None:
    script, file = Path(__file__).with_name("two_ranks.py"), tmp_path / "found.json"
    launch = ["torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", *launch, str(script), str(file)],
        capture_output=True, text=True, timeout=500, env=os.environ,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    found = json.loads(file.read_text())
    tolerance = stored("verl")["tolerance"]
    assert found.pop("own rows only")["gradient"] > 1000 * tolerance
    assert set(found) == {"owpo", "bapo", "rebel", "ppo", "kdrl"}
    assert all(max(pair.values()) < tolerance for pair in found.values()), found
