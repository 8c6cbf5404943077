"""Promises of docs/security.md that no other test holds, and that each one names its test."""

import ast
import os
import re
import stat
from pathlib import Path

from jumar.verifiers import ScoringPool, VerifierSpec, sandbox
from jumar.verifiers.score import Row

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")


def test_every_promise_names_tests_that_exist():
    rows = re.findall(r"^\| .+ \| (.+) \|$", PAGE, re.MULTILINE)
    held = [row for row in rows if "::" in row]
    named = re.findall(r"`(tests/[a-z_/]+\.py)::(\w+)`", PAGE)
    assert len(held) >= 25
    assert len(named) >= len(held)
    for file, name in named:
        tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
        assert name in {n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)}, name


def test_scoring_opens_no_socket_and_no_file_for_others():
    with ScoringPool(VerifierSpec("math"), workers=1) as pool:
        pool.score(["\\boxed{7}"], [Row("q", "7")])
        for pid in pool.worker_pids():
            opened = {int(fd.name): os.readlink(fd) for fd in Path(f"/proc/{pid}/fd").iterdir()}
            talk = [target for fd, target in opened.items() if fd > 2]  # 0 to 2 are the run's own
            assert talk
            assert all(target.startswith(("pipe:", "/dev/null", "/proc/")) for target in talk)


def test_what_a_program_is_given_is_for_its_user_alone(monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with sandbox._readable("a program") as file:
        (path,) = tmp_path.iterdir()
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert file.read() == b"a program"
        assert not file.writable()
    assert list(tmp_path.iterdir()) == []


def test_a_server_listens_to_this_machine_alone():
    source = (ROOT / "src" / "jumar" / "engines" / "vllm" / "__main__.py").read_text()
    assert '"--host", default="127.0.0.1"' in source
    for path in (ROOT / "src").rglob("*.py"):
        assert "0.0.0.0" not in path.read_text(encoding="utf-8"), path
