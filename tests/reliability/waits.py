"""Calls that may wait for somebody, found in source text, and those that need no deadline."""

import ast
from collections.abc import Iterator
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "src" / "jumar"
# methods that wait for ever when they are called without an argument
WAITS = {"join", "get", "wait", "recv", "result", "communicate", "acquire", "accept", "readline"}
TIMED = {"run", "check_output", "check_call", "call", "urlopen", "create_connection"}
# (file, method): what ends the wait
ENDED: dict[tuple[str, str], str] = {
    ("verifiers/pool.py", "result"): "the worker's START_SECONDS and each score's wall_seconds",
    ("verifiers/pool.py", "join"): "the budgets of the scores that are left",
    ("verifiers/pool.py", "get"): "a thread of the pool without work; it is a daemon",
    ("verifiers/worker.py", "readline"): "the parent's end: its pipe closes, and the kernel kills",
    ("verifiers/process.py", "wait"): "SIGKILL, which was sent just before",
    ("tasks/generate.py", "readline"): "the parent's end: its pipe closes",
    ("reproduce/runs.py", "run"): "a training run, whose own waits end",
    ("reproduce/worker.py", "run"): "git, which answers from the disk",
    ("engines/vllm/in_process.py", "communicate"): "the guard's pipe, which was just closed",
    ("verifiers/isolation.py", "run"): "ldd, which reads files",
    ("engines/local/scoring.py", "result"): "as in verifiers/pool.py",
    ("engines/local/fixed_batches.py", "get"): "no wait: the store of rewards",
}


def sources() -> list[str]:
    """Every file of the package."""
    return sorted(file.relative_to(SOURCE).as_posix() for file in SOURCE.rglob("*.py"))


def waits(file: str) -> Iterator[tuple[str, str]]:
    """(file, method) of every call without a deadline."""
    for node in ast.walk(ast.parse((SOURCE / file).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            name = node.func.attr
            endless = name in WAITS and not node.args and not node.keywords
            if endless or (name in TIMED and _of_a_module(node.func) and not _timed(node)):
                yield file, name


def _of_a_module(function: ast.Attribute) -> bool:
    owner = function.value
    name = owner.attr if isinstance(owner, ast.Attribute) else getattr(owner, "id", "")
    return name in ("subprocess", "request", "socket", "opener")


def _timed(call: ast.Call) -> bool:
    return any(keyword.arg == "timeout" for keyword in call.keywords)
