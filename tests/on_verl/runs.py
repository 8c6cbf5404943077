"""Runs of verl as a user starts them, under a time limit, and what its actor worker was given."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import small
import torch
import watch

HERE = Path(__file__).parent
QUICKSTART = HERE.parents[1] / "examples" / "verl_owpo.sh"
SECONDS = 900  # a run is two minutes of one core's work
ON_CPU = {
    "VERL_USE_EXTERNAL_MODULES": "verl_on_cpu,watch",
    "VLLM_CACHE_ROOT": f"{tempfile.gettempdir()}/jumar-verl-vllm",  # what it found of models
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_memory_monitor_refresh_ms": "0",  # what others take is no reason to end the run
    "HYDRA_FULL_ERROR": "1",
    "RAY_worker_niceness": "0",  # Ray's 15 starves them where something else runs, too
}


@dataclass(frozen=True)
class Run:
    """What a run left."""

    code: int  # of its exit
    log: str
    steps: list[dict[str, Any]]  # what was kept of each optimiser step
    seconds: float  # from the killing of a process to the exit


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


def train(home: Path, overrides: Sequence[str], *, fault: str = "") -> Run:
    """Run verl's quickstart with further settings; `fault` names the process that gets killed."""
    watched = home / "watched"
    watched.mkdir()
    environment = os.environ | ON_CPU | {
        "HOME": str(home),
        "TMPDIR": str(home),  # vLLM leaves its sockets there
        "WATCHED": str(watched),
        "FAULT": fault,
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
            process.wait(timeout=60)
            raise AssertionError(log.read_text()[-6000:]) from None
    struck = watch.struck(watched)
    return Run(
        code=code,
        log=log.read_text(),
        steps=[torch.load(f, weights_only=False) for f in sorted(watched.glob("*.pt"))],
        seconds=time.time() - struck.stat().st_mtime if struck.exists() else float("nan"),
    )


def _end_what_is_left(folder: Path) -> None:
    """Processes that name the folder in their command: Ray's own, where a run was cut off."""
    for process in watch.processes():
        if str(folder).encode() in watch.read(process / "cmdline"):
            os.kill(int(process.name), signal.SIGKILL)
