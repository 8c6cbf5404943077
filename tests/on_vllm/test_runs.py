"""`jumar train --engine vllm` as a user types it, through every fault that vLLM can meet."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path

import psutil
import pytest
from faults import noted

HERE = Path(__file__).parent
LONG = 600  # seconds that a busy machine may take to start something
STEPS = 10
RECIPE = """
model: {model}
task: "{here}/letters.py:rows?verifier={here}/letters.py:early"
algorithm: grpo
program: {{name: plain, steps: {steps}}}
engine: vllm
rollout: {{prompts: 8, responses: 8, max_prompt_tokens: 16, max_response_tokens: 80}}
optimiser: {{learning_rate: 1e-3}}
scoring: {{workers: 1}}
evaluation: {{every: 0, final_prompts: 4, final_samples: 2}}
checkpoints: {{every: 1}}
"""


@dataclass
class Run:
    """A process, and the directory that it writes."""

    out: Path
    process: "subprocess.Popen[str]"
    family: list[psutil.Process] = field(default_factory=list)

    def step(self) -> int:
        """Of the newest checkpoint, after which it goes on."""
        found = self.out.glob("checkpoints/step-*/manifest.json")
        return max((int(file.parent.name.removeprefix("step-")) for file in found), default=0)

    def wait_for_rollout(self) -> None:
        """That after the next checkpoint."""
        before = self.step()
        until(lambda: self.process.poll() is not None or self.step() > before)
        time.sleep(0.2)
        assert self.process.poll() is None, self.process.communicate()
        self.family = psutil.Process(self.process.pid).children(recursive=True)

    def ended(self) -> str:
        """What it said, once it and all that it started are gone."""
        _, said = self.process.communicate(timeout=LONG)
        assert not psutil.wait_procs(self.family, timeout=LONG)[1]
        return " ".join(said.split())


@dataclass
class Served:
    """A vLLM server in a process group of its own."""

    process: "subprocess.Popen[bytes]"
    port: int

    @property
    def option(self) -> tuple[str, str]:
        return "--set", f"vllm.server=http://127.0.0.1:{self.port}"

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

    def is_drawing(self) -> bool:
        running = r"^vllm:num_requests_running\{.*\} (\S+)"
        return any(map(float, re.findall(running, self.get("/metrics").decode(), re.M)))

    def signal(self, number: int) -> None:
        """To all of its processes."""
        os.killpg(self.process.pid, number)


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LONG
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def started(
    letters: Path, out: Path, *more: str, program: tuple[str, ...] = ("-m", "jumar")
) -> Run:
    recipe = out.with_suffix(".yaml")
    recipe.write_text(RECIPE.format(model=letters, here=HERE, steps=STEPS))
    command = [sys.executable, *program, "train", str(recipe), "--out", str(out), *more]
    if (out / "config.yaml").exists():
        command.append("--resume")
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    return Run(out, process)


@pytest.fixture(scope="module")
def server(letters: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path_factory.mktemp("server") / "log"
    command = [sys.executable, "-m", "jumar.engines.vllm", str(letters), "--port", str(port)]
    options = ["--lora-rank", "4", "--max-model-len", "97", "--enforce-eager"]
    options += ["--kv-cache-memory-bytes", str(2**28)]
    with log.open("wb") as file:
        process = subprocess.Popen(
            [*command, *options], stdout=file, stderr=file, start_new_session=True
        )
    served = Served(process, port)
    until(served.is_up)
    yield served
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@dataclass(frozen=True)
class Fault:
    """What is done to a run whose vLLM is the server, or else its own, and how it is told."""

    what: str
    told: str  # a pattern
    on_server: bool = True
    strike: Callable[[Run, Served], None] | None = None
    exchange: str = ""  # of the names in wrong_exchange.py, where that strikes


def kill_worker(run: Run, server: Served) -> None:
    (worker,) = [process for process in run.family if process.name() == "VLLM::Worker"]
    worker.kill()


def kill_trainer(run: Run, server: Served) -> None:
    run.process.kill()


def stop_server(run: Run, server: Served) -> None:
    until(server.is_drawing)
    server.signal(signal.SIGSTOP)


def kill_server(run: Run, server: Served) -> None:
    until(server.is_drawing)
    server.signal(signal.SIGKILL)


OWN, SERVER = "a vLLM of its own", "a server"
SKIPPED = "It still has the weights of before: the synchronisation was skipped"
HALF = "A part of its weights is missing or wrong"
STALE = "It has the weights of 2 synchronisations ago: they are stale"
FAULTS = [
    Fault("own vLLM: worker killed in a rollout", r"vLLM failed \(.*?\)", False, kill_worker),
    Fault("own vLLM: trainer killed in a rollout", "", False, kill_trainer),
    Fault("server: exchange skipped", SKIPPED, exchange="skipped"),
    Fault("server: half of the layers exchanged", HALF, exchange="half"),
    Fault("server: weights of two exchanges ago sent", STALE, exchange="stale"),
    Fault(
        "server: hangs in a rollout",
        r"The vLLM server .* gave no sign for 20 seconds",
        strike=stop_server,
    ),
    Fault("server: killed in a rollout", r"The vLLM server .* failed \(.*?\)", strike=kill_server),
]


def meets(fault: Fault, letters: Path, server: Served, out: Path, kept: Path) -> tuple[float, str]:
    """Seconds from the fault to the end of the run and of all processes that it started, and how
    it was told.
    """
    wrong = str(HERE / "wrong_exchange.py"), fault.exchange, str(kept)
    program = wrong if fault.exchange else ("-m", "jumar")
    options = server.option if fault.on_server else ()
    run = started(letters, out, *options, program=program)
    if fault.strike:
        run.wait_for_rollout()
        since = time.monotonic()
        fault.strike(run, server)
    said = run.ended()
    until_now = time.monotonic()
    if fault.exchange:
        since = float((kept / "since").read_text())
    elif fault.strike is stop_server:
        server.signal(signal.SIGCONT)
    found = re.search(fault.told, said)
    assert found, said
    if fault.told:
        assert run.process.returncode == 2, said
        assert "--resume" in said
    return until_now - since, found[0]


def finishes(run: Run, steps: int) -> None:
    """To the end, with every step once, and checked."""
    said = run.ended()
    assert run.process.returncode == 0, said
    rows = [json.loads(line) for line in (run.out / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == list(range(1, steps + 1))
    assert all(row["logprob/probe_gap"] < 1e-4 and row["logprob/gap"] < 1e-4 for row in rows)


@pytest.mark.slow
def test_an_adapter_is_trained_on_a_server(letters, server, tmp_path):
    options = ["lora.rank=4", "optimiser.learning_rate=1e-2", "program.steps=3"]
    more = [part for option in options for part in ("--set", option)]
    finishes(started(letters, tmp_path / "run", *server.option, *more), 3)


@pytest.mark.slow
def test_two_processes_train_what_one_server_draws(letters, server, tmp_path):
    torchrun = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "jumar")
    more = ["--set", "program.steps=2", *server.option]
    dealt = ["--set", "distributed.sharding=full"]
    two = started(letters, tmp_path / "two", *more, *dealt, program=torchrun)
    finishes(two, 2)
    one = started(letters, tmp_path / "one", *more)
    finishes(one, 2)
    assert first_digest(one) == first_digest(two)


def first_digest(run: Run) -> str:
    """Of the first rollout: token ids, masks, rewards."""
    return str(json.loads((run.out / "metrics.jsonl").read_text().splitlines()[0])["digest"])


@pytest.mark.slow
def test_one_run_meets_every_fault_and_goes_on_after_each(letters, server, tmp_path):
    out = tmp_path / "run"
    resumed = [SERVER if fault.on_server else OWN for fault in FAULTS[1:]] + [OWN]
    for fault, by in zip(FAULTS, resumed, strict=True):
        seconds, said = meets(fault, letters, server, out, tmp_path / (fault.exchange or "none"))
        noted(fault.what, seconds, said or "no process is left", by)
    finishes(started(letters, out), STEPS)
