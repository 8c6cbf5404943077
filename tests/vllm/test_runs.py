"""`jumar train --engine vllm` as a user types it, and what kills and hangs do to it."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path

import psutil
import pytest
from faults import noted

HERE = Path(__file__).parent
PATIENCE = 10.0  # seconds
STEPS = 5
RECIPE = """
model: {model}
task: "{here}/letters.py:rows?verifier={here}/letters.py:early"
algorithm: grpo
program: {{name: plain, steps: {steps}}}
engine: vllm
vllm: {{patience: {patience}}}
rollout: {{prompts: 8, responses: 8, max_prompt_tokens: 16, max_response_tokens: 80}}
optimiser: {{learning_rate: 1e-3}}
evaluation: {{every: 0, final_prompts: 4, final_samples: 2}}
checkpoints: {{every: 1}}
"""
ENDS = "ends with exit code 2 and leaves no process; `--resume` went on and finished"


@dataclass
class Run:
    """A process, and the directory that it writes."""

    recipe: Path
    out: Path
    process: "subprocess.Popen[str]"

    def wait_for_step(self, step: int) -> None:
        until(lambda: self.ended() or self.steps() >= step, 400)
        assert not self.ended(), self.process.communicate()

    def ended(self) -> bool:
        return self.process.poll() is not None

    def steps(self) -> int:
        file = self.out / "metrics.jsonl"
        return len(file.read_text().splitlines()) if file.exists() else 0

    def error(self, since: float) -> tuple[float, str]:
        """(seconds until it ended, what it said), after a fault."""
        _, said = self.process.communicate(timeout=60)
        assert self.process.returncode == 2, said
        return time.monotonic() - since, " ".join(said.partition("error: ")[2].split())


def until(true, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def started(letters: Path, out: Path, *more: str) -> Run:
    recipe = out.with_suffix(".yaml")
    text = RECIPE.format(model=letters, here=HERE, steps=STEPS, patience=PATIENCE)
    recipe.write_text(text)
    command = [sys.executable, "-m", "jumar", "train", str(recipe), "--out", str(out), *more]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    return Run(recipe, out, process)


def finishes(letters: Path, out: Path, *more: str) -> None:
    """A resumed run goes on after its last checkpoint, and every step was checked."""
    before = json.loads((out / "metrics.jsonl").read_text().splitlines()[0])
    run = started(letters, out, "--resume", *more)
    said = run.process.communicate(timeout=400)
    assert run.process.returncode == 0, said
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == list(range(1, STEPS + 1))
    assert rows[0] == before
    assert all(row["logprob/probe_gap"] < 1e-4 and row["logprob/gap"] < 1e-4 for row in rows)
    assert json.loads((out / "summary.json").read_text())["steps"] == STEPS


@dataclass
class Served:
    """A vLLM server in a process group of its own."""

    process: "subprocess.Popen[bytes]"
    port: int

    @property
    def option(self) -> tuple[str, str]:
        return "--set", f"vllm.server=http://127.0.0.1:{self.port}"

    def running(self) -> float:
        """Requests that it is working on."""
        said = self.get("/metrics").decode()
        return sum(
            float(n) for n in re.findall(r"^vllm:num_requests_running\{.*\} (\S+)", said, re.M)
        )

    def get(self, path: str) -> bytes:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", path)
            return connection.getresponse().read()
        finally:
            connection.close()

    def is_up(self) -> bool:
        assert self.process.poll() is None
        try:
            self.get("/health")
        except OSError:
            return False
        return True

    def signal(self, number: int) -> None:
        """To all of its processes, in the middle of a rollout where it is a fault."""
        if number in (signal.SIGSTOP, signal.SIGKILL):
            until(lambda: self.running() > 0, 60)
        os.killpg(self.process.pid, number)


@pytest.fixture(scope="module")
def server(letters: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path_factory.mktemp("server") / "log"
    command = [sys.executable, "-m", "jumar.engines.vllm", str(letters), "--port", str(port)]
    options = ["--max-model-len", "97", "--kv-cache-memory-bytes", str(2**28), "--enforce-eager"]
    with log.open("wb") as file:
        process = subprocess.Popen(
            [*command, *options], stdout=file, stderr=file, start_new_session=True
        )
    served = Served(process, port)
    until(served.is_up, 400)
    yield served
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@pytest.mark.slow
def test_a_run_whose_worker_is_killed_ends_and_is_resumed_on_a_server(letters, server, tmp_path):
    run = started(letters, tmp_path / "mine")
    run.wait_for_step(2)
    family = psutil.Process(run.process.pid).children(recursive=True)
    (worker,) = [process for process in family if process.name() == "VLLM::Worker"]
    killed = time.monotonic()
    worker.kill()
    seconds, said = run.error(killed)
    assert re.search(r"^vLLM failed .*--resume", said)
    assert not psutil.wait_procs(family, timeout=10)[1]
    finishes(letters, run.out, *server.option)
    noted("vLLM started by the run: its worker was killed", seconds, said[:60], ENDS)


@pytest.mark.slow
def test_a_run_whose_server_hangs_ends_and_is_resumed_on_it(letters, server, tmp_path):
    run = started(letters, tmp_path / "mine", *server.option)
    run.wait_for_step(2)
    server.signal(signal.SIGSTOP)
    seconds, said = run.error(time.monotonic())
    server.signal(signal.SIGCONT)
    assert re.search(r"^The vLLM server .* gave no sign for 10 seconds.*It hangs.*--resume", said)
    finishes(letters, run.out, *server.option)
    noted(f"a server: stopped in a rollout (patience {PATIENCE:g} s)", seconds, said[:75], ENDS)


@pytest.mark.slow
def test_a_run_whose_server_is_killed_ends(letters, server, tmp_path):
    run = started(letters, tmp_path / "mine", *server.option)
    run.wait_for_step(2)
    server.signal(signal.SIGKILL)
    seconds, said = run.error(time.monotonic())
    assert re.search(r"^The vLLM server .* failed .*--resume", said)
    assert (run.out / "checkpoints" / "step-00000002" / "manifest.json").is_file()
    noted(
        "a server: killed in a rollout",
        seconds,
        said[:90],
        "ends with exit code 2; its checkpoint is whole",
    )
