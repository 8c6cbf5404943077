"""vLLM itself, started once for the tests that share it.

`make test-vllm` installs it in an environment of its own.
"""

import os
import uuid
import warnings
from collections.abc import Iterator
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

import psutil
import pytest
import torch
from faults import write_table
from letters import write_model

from jumar.engines.local.models import load_model
from jumar.engines.vllm.in_process import InProcess
from jumar.engines.vllm.weights import room_for_adapters
from jumar.engines.vllm.weights import write_model as write_for_vllm

os.environ |= {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
os.environ["SPT_NOENV"] = "1"  # vLLM's names of processes would overwrite what /proc shows of these
ROOM = 97  # tokens
ADAPTED = "q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"
MARK = "JUMAR_SUITE"  # a variable that processes inherit


@pytest.fixture(scope="session", autouse=True)
def _installed() -> None:
    """Without it the tests are skipped aloud, or fail if JUMAR_REQUIRE_PEERS=1."""
    if find_spec("vllm") is None:
        message = "NOT TRIED WITH VLLM: `make test-vllm` installs it."
        (pytest.fail if os.environ.get("JUMAR_REQUIRE_PEERS") == "1" else pytest.skip)(message)


def pytest_sessionfinish(exitstatus: int) -> None:
    if exitstatus == 0:
        write_table()


@pytest.fixture(scope="session", autouse=True)
def _nothing_left_over() -> Iterator[None]:
    """No process that the suite has started, however indirectly, is there when it has ended."""
    os.environ[MARK] = mark = uuid.uuid4().hex
    yield
    left = [process for process in psutil.process_iter() if _mark(process) == mark]
    _, stayed = psutil.wait_procs(left, timeout=10)
    assert not stayed


def _mark(process: psutil.Process) -> str | None:
    with suppress(psutil.Error):
        if "multiprocessing.resource_tracker" not in " ".join(process.cmdline()):  # ends with us
            return process.environ().get(MARK)
    return None


@pytest.fixture(scope="session")
def letters(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of the model."""
    return write_model(tmp_path_factory.mktemp("letters"))


@pytest.fixture
def model(letters: Path) -> torch.nn.Module:
    """The model as the trainer has it."""
    return load_model(letters)[0]


@pytest.fixture(scope="session")
def engine(letters: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcess]:
    """A vLLM that the tests take in turn; each synchronises it first."""
    place = tmp_path_factory.mktemp("started")
    write_for_vllm(*load_model(letters), place)
    with warnings.catch_warnings(action="ignore"):  # those of vLLM's own parts
        engine = InProcess(
            place,
            dtype="float32",
            room=ROOM,
            arguments={"kv_cache_memory_bytes": 2**28, **room_for_adapters(ADAPTED, 4)},
        )
    yield engine
    engine.close()
