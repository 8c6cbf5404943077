"""Every example runs, and CONTRIBUTING's algorithm passes everything that it promises."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
pytestmark = pytest.mark.slow


def ran(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *command],
        capture_output=True, text=True, env={**os.environ, **environment},
    )  # fmt: skip


def test_the_grpo_loop_from_scratch_fits_in_120_lines_and_trains():
    file = ROOT / "examples" / "grpo_loop.py"
    assert len(file.read_text().splitlines()) <= 120
    done = ran(str(file), "--steps", "2", "--prompts", "4")
    assert done.returncode == 0, done.stderr
    assert re.search(r"step 2  reward \d\.\d+  loss [+-]\d", done.stdout)


@pytest.mark.parametrize("name", ["custom_reward", "custom_algorithm"])
def test_an_example_trains_and_leaves_a_model(name, tmp_path):
    done = ran(
        str(ROOT / "examples" / f"{name}.py"), "--steps", "2", "--out", str(tmp_path / "run")
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / "final" / "model.safetensors").exists()


def test_rewards_from_running_code_train_a_base_made_for_them(tmp_path):
    if shutil.which("bwrap") is None and os.environ.get("JUMAR_REQUIRE_PEERS") != "1":
        pytest.skip("bubblewrap is not installed, so no program was run")
    file, small = str(ROOT / "examples" / "programs.py"), ("--base-steps", "2", "--steps", "1")
    done = ran(file, *small, "--test-prompts", "2", "--out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "trained" / "final" / "model.safetensors").exists()


def test_contributings_algorithm_passes_the_laws_its_test_and_its_golden(tmp_path):
    text = (ROOT / "CONTRIBUTING.md").read_text()
    blocks = re.findall(r"`((?:src|tests)/\S+\.py)`:\n\n```python\n(.*?)```", text, flags=re.S)
    assert [name for name, _ in blocks] == [
        "src/jumar/algorithms/mean_normalised.py",
        "tests/algorithms/test_mean_normalised.py",
    ]
    for folder in ("src", "tests"):
        shutil.copytree(
            ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__")
        )
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for name, code in blocks:
        (tmp_path / name).write_text(code)
    here = {"PYTHONPATH": str(tmp_path / "src")}
    golden = subprocess.run(
        [sys.executable, "-m", "golden"],
        cwd=tmp_path / "tests", capture_output=True, text=True, env={**os.environ, **here},
    )  # fmt: skip
    assert golden.returncode == 0, golden.stderr
    assert "mean_normalised" in golden.stdout
    tests = subprocess.run(
        [
            sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "mean_normalised",
            "tests/laws", "tests/golden", "tests/algorithms/test_mean_normalised.py",
        ],
        cwd=tmp_path, capture_output=True, text=True, env={**os.environ, **here},
    )  # fmt: skip
    assert tests.returncode == 0, tests.stdout[-3000:]
    passed = int(re.search(r"(\d+) passed", tests.stdout).group(1))
    assert passed > 15  # the laws found the file by themselves
