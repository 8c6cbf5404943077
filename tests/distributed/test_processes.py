"""Several processes do what one does: two on the CPU, which speak gloo."""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from launching import HERE, SECONDS, ended, environment, started
from safetensors.torch import load_file
from typer.testing import CliRunner

sys.path.insert(0, str(HERE.parent / "engines" / "local"))
import letters
import one_as_two
import programs_as_two

from jumar.cli import app
from jumar.engines.local.distributed import check_alike, from_main, gathered, summed, together
from jumar.engines.local.micro_batches import padded_work
from jumar.engines.settings import DistributedSettings
from jumar.errors import ConfigurationError

ROUNDING = 1e-12  # of float64
ROUNDING_OF_RUNS = 1e-5  # of float32 and some steps of Adam


def found_by(worker: str, place: Path) -> list[dict[str, Any]]:
    """What each of two processes reports."""
    letters.write_model(place / "model")
    letters.write_model(place / "other", seed=1)
    for process in ended(started(["-W", "error", str(HERE / worker), str(place)], 2)):
        assert process.code == 0, process.said
    return [json.loads((place / f"found-{rank}.json").read_text()) for rank in (0, 1)]


@pytest.fixture(scope="module")
def steps(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    return found_by("one_as_two.py", tmp_path_factory.mktemp("steps"))


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    return found_by("programs_as_two.py", tmp_path_factory.mktemp("runs"))


# ------------------------------------------------------------------ one step


@pytest.mark.slow
@pytest.mark.parametrize("case", one_as_two.CASES)
def test_two_processes_have_the_rollouts_and_gradients_of_one(case, steps):
    for found in steps:
        assert found["moved"][case] > 1e-3
        assert_same(found["dealt"][case])


@pytest.mark.slow
@pytest.mark.parametrize("case", one_as_two.SHARDED)
def test_so_do_two_between_whom_the_weights_are_dealt(case, steps):
    for found in steps:
        assert_same(found["sharded"][case])


def assert_same(found: dict[str, Any]) -> None:
    for kind in ("gradients", "weights", "state"):
        assert found[kind] < ROUNDING, kind
    assert found["metrics"] < 1e-6  # some are float32
    for kind in ("rollouts", "names", "watched"):
        assert found[kind], kind


@pytest.mark.slow
def test_dealt_weights_are_written_as_whole_ones_are(steps):
    assert all(found["written"] == [True, True] for found in steps)


@pytest.mark.slow
def test_adam_does_with_dealt_weights_what_it_does_with_whole_ones(steps):
    assert all(found["adam"] for found in steps)


@pytest.mark.slow
def test_processes_of_different_recipes_refuse_each_other(steps):
    for found in steps:
        assert "Process 1 of 2 was started with another recipe" in found["refused"][0]
        assert "the same command and the same files" in found["refused"][0]


@pytest.mark.slow
def test_what_the_main_process_refuses_alone_everybody_refuses(steps):
    assert all(found["refused"][1] == "The main process sees 1." for found in steps)


# ------------------------------------------------------------------ programs, resumed runs


@pytest.mark.slow
@pytest.mark.parametrize("program", programs_as_two.PROGRAMS)
def test_a_program_of_two_processes_leaves_what_that_of_one_leaves(program, runs):
    assert_alike(runs[0][program])


@pytest.mark.slow
@pytest.mark.parametrize("dealt", [False, True])
@pytest.mark.parametrize("way", ["two-to-one", "one-to-two"])
def test_a_run_goes_on_with_another_number_of_processes(way, dealt, runs):
    assert_alike(runs[0][f"{way}-{dealt}"])


@pytest.mark.slow
def test_a_run_of_two_processes_goes_on_bit_for_bit(runs):
    found = runs[0]["two-to-two"]
    assert found["files"]
    assert found["largest"] == found["metrics"] == 0


def assert_alike(found: dict[str, Any]) -> None:
    assert found["files"]
    assert found["rollouts"]
    assert found["largest"] < ROUNDING_OF_RUNS
    assert found["metrics"] < ROUNDING_OF_RUNS


@pytest.mark.slow
def test_an_evaluation_by_two_is_that_by_one(runs):
    assert all(found["evaluation"] for found in runs)


# ------------------------------------------------------------------ the command line


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe over the letters."""
    folder = tmp_path_factory.mktemp("place")
    letters.write_model(folder / "model")
    (folder / "tasks.py").write_text(
        "def rows():\n"
        "    for x in 'abcdefgh':\n"
        "        for y in 'abcdefgh':\n"
        "            yield {'prompt': f'say {x}{y}', 'answer': x}\n"
        "def early(response, example):\n"
        "    return sum(c < 'k' for c in response) > len(response) / 2\n"
    )
    (folder / "small.yaml").write_text(
        "model: model\ntask: tasks.py:rows?verifier=tasks.py:early\n"
        "algorithm: owpo\nprogram: {name: plain, steps: 3}\n"
        "rollout: {prompts: 3, responses: 4, max_response_tokens: 8, max_prompt_tokens: 32}\n"
        "optimiser: {learning_rate: 3.0e-3, eps: 1.0e-3}\n"
        "evaluation: {every: 1, prompts: 2, final_prompts: 3, final_samples: 2}\n"
        "loading: {threads: 1}\nscoring: {workers: 1}\n"
    )
    return folder


@pytest.mark.slow
def test_torchrun_trains_as_one_process_does_and_speaks_once(place, monkeypatch):
    monkeypatch.chdir(place)
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    train = ["train", "small.yaml", "--set", "distributed.sharding=full", "--out"]
    one, two = Path("one"), Path("two")
    ran = subprocess.run(
        [sys.executable, *torchrun, "-m", "jumar", *train, str(two)],
        env=environment(), capture_output=True, text=True, timeout=SECONDS,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.count("Run directory:") == 1
    alone = CliRunner().invoke(app, [*train, str(one)])
    assert alone.exit_code == 0, alone.output
    for name in ("base-sampled", "base-greedy", "final-greedy"):
        files = [run / "evaluation" / f"{name}.jsonl" for run in (one, two)]
        assert files[0].read_text() == files[1].read_text()
    lines = [letters.lines_of(run / "metrics.jsonl") for run in (one, two)]
    assert [row.get("digest") for row in lines[0]] == [row.get("digest") for row in lines[1]]
    weights = [load_file(run / "final" / "model.safetensors") for run in (one, two)]
    assert weights[0].keys() == weights[1].keys()
    for name, weight in weights[0].items():
        torch.testing.assert_close(weight, weights[1][name], rtol=0, atol=ROUNDING_OF_RUNS)
    summaries = [json.loads((run / "summary.json").read_text()) for run in (one, two)]
    assert [summary["processes"] for summary in summaries] == [1, 2]
    assert (two / "report.html").is_file()


@pytest.mark.slow
def test_a_killed_process_ends_the_others_with_its_name_and_the_run_goes_on_with_one(
    place, monkeypatch
):
    monkeypatch.chdir(place)
    train = ["train", "small.yaml", "--out", "killed", "--set", "checkpoints.every=1"]
    train += ["--set", "program.steps=60"]
    processes = started(["-m", "jumar", *train], 2)
    metrics, patience = Path("killed/metrics.jsonl"), time.monotonic() + SECONDS
    while not (metrics.is_file() and len(metrics.read_text().splitlines()) > 3):
        assert processes[0].poll() is None, processes[0].communicate()[0]
        assert time.monotonic() < patience
        time.sleep(0.05)
    processes[1].kill()
    (left,) = ended(processes[:1], seconds=60)
    processes[1].communicate()
    assert left.code == 2, left.said
    assert "Process 0 of 2 lost the others" in left.said
    assert "start all of them again with --resume" in left.said
    again = CliRunner().invoke(app, [*train, "--resume"])
    assert again.exit_code == 0, again.output
    steps = [row["step"] for row in letters.lines_of(metrics) if "validation" not in row]
    assert steps == list(range(1, 61))


# ------------------------------------------------------------------ one process, and refusals


def test_with_one_process_every_verb_gives_back_what_it_got():
    tensor, content = torch.ones(3), {"a": object()}
    with together(DistributedSettings()):
        assert summed(tensor) is tensor
        assert gathered(content) == [content]
        assert from_main(lambda: content) is content
        check_alike("recipe", "text")
        work = padded_work([3, 1, 2, 7, 5])
        assert work.dealt(8) == [(rows, True) for rows in work.micro_batches(8)]


@pytest.mark.parametrize("engine", ["FSDP", "DEEPSPEED", "MEGATRON_LM"])
def test_an_engine_of_accelerates_own_is_refused(engine, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv(f"ACCELERATE_USE_{engine}", "true")
    with (
        pytest.raises(ConfigurationError, match=rf"{engine}.*set distributed\.sharding=full"),
        together(DistributedSettings()),
    ):
        pass


def test_one_process_of_a_machine_tells_what_is_wrong_with_the_input(monkeypatch, tmp_path):
    said = []
    for local in ("0", "1"):
        monkeypatch.setenv("LOCAL_RANK", local)
        ran = CliRunner().invoke(app, ["train", str(tmp_path / "missing.yaml")])
        assert ran.exit_code == 2
        said.append(ran.stderr)
    assert "missing.yaml" in said[0]
    assert said[1] == ""


def test_the_alignment_score_is_refused_where_weights_are_dealt():
    settings = ["diagnostics.alignment_every=5", "distributed.sharding=full"]
    ran = CliRunner().invoke(
        app, ["train", "quickstart", "--set", settings[0], "--set", settings[1]]
    )
    assert ran.exit_code == 2
    assert "Set one of them to 0 or none" in ran.stderr
