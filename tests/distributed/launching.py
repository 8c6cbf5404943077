"""Start several processes as torchrun does, and see how each ends."""

import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
SECONDS = 900  # for all of them; on a busy machine imports alone take a minute


@dataclass(frozen=True)
class Ended:
    code: int
    said: str  # stdout and stderr


def started(
    command: Sequence[str], count: int, ranks: Sequence[int] | None = None
) -> list[subprocess.Popen[str]]:
    """Processes of `count`, or those of `ranks` alone."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(count)}
    return [
        subprocess.Popen(
            [sys.executable, *command],
            env=environment() | place | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        for rank in (range(count) if ranks is None else ranks)
    ]  # fmt: skip


def ended(processes: Sequence[subprocess.Popen[str]], seconds: float = SECONDS) -> list[Ended]:
    """How each ended; all are killed if one does not."""
    try:
        said = [process.communicate(timeout=seconds)[0] for process in processes]
        pairs = zip(processes, said, strict=True)
        return [Ended(process.returncode, text) for process, text in pairs]
    finally:
        for process in processes:
            process.kill()


def environment() -> dict[str, str]:
    """This one's, for processes that use this checkout."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    return kept | {"PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
