"""Runs of verl as a user starts them, under a time limit, and what its actor worker was given."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import small
import torch

HERE = Path(__file__).parent
QUICKSTART = HERE.parents[1] / "examples" / "verl_owpo.sh"
SECONDS = 500
ON_CPU = {
    "VERL_USE_EXTERNAL_MODULES": "verl_on_cpu,watch",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_worker_niceness": "0",  # Ray's 15 starves them where something else runs, too
    "HYDRA_FULL_ERROR": "1",
}


@contextmanager
def home(prompts: int) -> Iterator[tuple[Path, list[str]]]:
    """A folder with a model and a data set, as a home; its name is short, as sockets ask."""
    folder = Path(tempfile.mkdtemp(prefix="jv"))
    try:
        small.model(folder / "model")
        yield folder, small.prompts(folder / "data" / "gsm8k", prompts)
    finally:
        _end_what_is_left(folder)
        shutil.rmtree(folder, ignore_errors=True)


def train(home: Path, overrides: Sequence[str]) -> list[dict[str, Any]]:
    """Run verl's quickstart with further settings; what was kept of each optimiser step."""
    watched = home / "watched"
    watched.mkdir()
    environment = os.environ | ON_CPU | {
        "HOME": str(home),
        "WATCHED": str(watched),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(HERE),
    }  # fmt: skip
    log = home / "log"
    with log.open("w") as out:
        process = subprocess.Popen(
            ["bash", str(QUICKSTART), *overrides], cwd=home, env=environment,
            stdout=out, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        try:
            code = process.wait(timeout=SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGTERM)
            code = process.wait(timeout=60)
    assert code == 0, log.read_text()[-6000:]
    return [torch.load(file, weights_only=False) for file in sorted(watched.iterdir())]


def _end_what_is_left(folder: Path) -> None:
    """Processes that name the folder in their command: Ray's own, where a run was cut off."""
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if str(folder).encode() in entry.read_bytes():
                os.kill(int(entry.parent.name), signal.SIGKILL)
        except (OSError, ValueError):
            continue
