import os
import platform
import time

import pytest

from jumar.errors import ConfigurationError
from jumar.verifiers import ScoringPool, VerifierSpec, isolation
from jumar.verifiers.sandbox import KILLED, MAX_OUTPUT, Sandbox, SandboxTimeoutError
from jumar.verifiers.score import Row
from jumar.verifiers.system_calls import MACHINES, system_call_filter
from verifiers.escapes import CONTROLS, ESCAPES, Outside
from verifiers.isolated import isolated

SLOW = ("takes memory bit by bit", "starts threads without end", "sleeps", "floods its errors",
        "takes processor time", "takes processor time and refuses to stop", "forks without end",
        "leaves a process behind", "leaves a thread behind", "starts a pool")  # fmt: skip


@pytest.fixture(scope="module")
def sandbox():
    return isolated()


@pytest.fixture
def outside(tmp_path):
    with Outside(tmp_path) as world:
        yield world


def tried(sandbox, world, name, seconds=10.0):
    try:
        run = sandbox.run({"code": world.program(name)}, "", time.monotonic() + seconds)
    except SandboxTimeoutError:
        return world.effects("")
    return world.effects(run.output)


@pytest.mark.parametrize("name", [name for name in ESCAPES if name not in SLOW])
def test_an_attempt_to_escape_has_no_effect_outside(sandbox, outside, name):
    assert tried(sandbox, outside, name) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", SLOW)
def test_an_attempt_to_exhaust_the_machine_ends_and_leaves_nothing(sandbox, outside, name):
    assert tried(sandbox, outside, name) == []


@pytest.mark.parametrize("name", CONTROLS)
def test_the_same_attempts_succeed_where_nothing_isolates_them(outside, name):
    bare = Sandbox(cpu_seconds=1, memory_mb=4096, isolated=False)
    assert tried(bare, outside, name) != []


def test_a_program_reads_its_input_and_writes_its_output(sandbox):
    job = {"code": "import sys; print(sys.stdin.read().upper(), len(sys.argv[0]))"}
    run = sandbox.run(job, "ab\u00e9\n", time.monotonic() + 10)
    assert (run.output, run.ending) == ("AB\u00c9\n 2\n", "")


def test_the_whole_standard_library_is_there(sandbox):
    code = "import asyncio, ctypes, decimal, hashlib, lzma, sqlite3, ssl, threading, zlib; print(1)"
    assert sandbox.run({"code": code}, "", time.monotonic() + 10).output == "1\n"


@pytest.mark.parametrize(
    ("code", "ending"),
    [
        ("while True: pass", KILLED),
        ("raise SystemExit(3)", "exit status 3"),
        ("1 / 0", "exit status 1"),
        ("import os; os.abort()", "ended by SIGABRT"),
        ("while True: print('x' * 10**6)", f"it wrote more than {MAX_OUTPUT} bytes"),
        ("x = bytearray(2**30)", "exit status 1"),
    ],
)
def test_how_a_program_ended_is_told(sandbox, code, ending):
    assert sandbox.run({"code": code}, "", time.monotonic() + 20).ending == ending


def test_a_program_that_sleeps_meets_the_wall_clock(sandbox):
    with pytest.raises(SandboxTimeoutError, match="wall-clock"):
        sandbox.run({"code": "import time; time.sleep(99)"}, "", time.monotonic() + 1)


def test_a_program_that_closes_its_output_and_sleeps_meets_it_too(sandbox):
    code = "import os, time; os.closerange(0, 64); time.sleep(99)"
    with pytest.raises(SandboxTimeoutError, match="wall-clock"):
        sandbox.run({"code": code}, "", time.monotonic() + 1)


def test_a_killed_scorer_takes_its_program_with_it(sandbox, outside):
    row = Row("q", '[{"stdin": "", "stdout": ""}]')
    fence = f"```\n{outside.program('sleeps')}\n```"
    with ScoringPool(VerifierSpec("code"), workers=1, wall_seconds=4.0) as pool:
        (score,) = pool.score([fence], [row])
    assert score.status == "timed_out"
    assert outside.effects("") == []


@pytest.fixture
def no_cache():
    isolation.isolating.cache_clear()
    yield
    isolation.isolating.cache_clear()


def test_without_bubblewrap_nothing_runs(no_cache, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigurationError, match=r"`bwrap` is not installed.*make system-deps"):
        Sandbox(cpu_seconds=1, memory_mb=256)
    with pytest.raises(ConfigurationError, match="run_model_code_without_isolation=true"):
        ScoringPool(VerifierSpec("code"))


def test_where_namespaces_are_forbidden_nothing_runs(no_cache, monkeypatch, tmp_path):
    fake = tmp_path / "bwrap"
    fake.write_text("#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2\nexit 1\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(ConfigurationError, match=r"No permissions.*allow user namespaces"):
        Sandbox(cpu_seconds=1, memory_mb=256)


def test_on_another_machine_nothing_runs(monkeypatch):
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    with pytest.raises(ConfigurationError, match="Linux on x86_64 and aarch64 only"):
        Sandbox(cpu_seconds=1, memory_mb=256)


@pytest.mark.parametrize("machine", MACHINES)
def test_a_filter_is_whole_instructions_that_the_kernel_takes(machine):
    rules = system_call_filter(machine)
    assert len(rules) % 8 == 0
    assert len(rules) // 8 < 4096
