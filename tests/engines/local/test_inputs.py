"""A run goes on only from what it was begun with, in a directory of its own."""

import json
import os
import shutil
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import letters
import pytest
from letters import left_by, trainer
from safetensors.torch import load_file, save_file

from jumar.config import parse
from jumar.engines.local import checkpoint
from jumar.engines.local.locks import in_turn, owned
from jumar.errors import ConfigurationError, EngineError
from jumar.programs.ratchet import ratchet
from jumar.run_directory import RunDirectory
from jumar.tasks.task import Example
from jumar.verifiers.score import VerifierSpec

FEW = {"rollout": {"prompts": 3, "responses": 2, "max_response_tokens": 6}}


def begun(directory: Path, model: Path, pool, **changes):
    run = trainer(directory, model, pool, **{**FEW, **changes})
    run.restore()
    return run


def moved(model: Path, home: Path) -> Path:
    """A copy of a model in which one weight is another."""
    shutil.copytree(model, home)
    weights = load_file(home / "model.safetensors")
    next(iter(weights.values()))[0] += 1e-3
    save_file(weights, home / "model.safetensors", {"format": "pt"})
    return home


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_another_prompt_is_refused_and_its_split_named(split, model, pool, tmp_path):
    begun(tmp_path / "run", model, pool)
    task = letters.task()
    rows = [*getattr(task, split)[:-1], Example(prompt="say something else", answer="x")]
    other = replace(task, **{split: rows})
    named = "training" if split == "train" else split
    with pytest.raises(ConfigurationError, match=f"inputs: {named} prompts changed"):
        begun(tmp_path / "run", model, pool, examples=other)


def test_another_gold_answer_is_refused(model, pool, tmp_path):
    begun(tmp_path / "run", model, pool)
    task = letters.task()
    other = replace(task, train=[replace(task.train[0], answer="z"), *task.train[1:]])
    with pytest.raises(ConfigurationError, match="training prompts changed"):
        begun(tmp_path / "run", model, pool, examples=other)


@pytest.mark.parametrize("role", ["model", "reference", "teacher"])
def test_other_weights_under_the_same_name_are_refused(role, model, pool, tmp_path):
    there = tmp_path / "there"
    shutil.copytree(model, there)
    named = {"algorithm": "opd_sampled", "teacher": str(model), "reference": str(model)}
    start = there if role == "model" else model
    given = named if role == "model" else {**named, role: str(there)}
    begun(tmp_path / "run", start, pool, **given)
    shutil.rmtree(there)
    moved(model, there)
    what = "inputs: model" if role == "model" else f"other model {there} changed"
    with pytest.raises(ConfigurationError, match=what):
        begun(tmp_path / "run", start, pool, **given)


def test_another_tokenizer_is_refused(model, pool, tmp_path):
    there = tmp_path / "there"
    shutil.copytree(model, there)
    begun(tmp_path / "run", there, pool)
    file = there / "tokenizer.json"
    content = json.loads(file.read_text())
    words = content["model"]["vocab"]
    words["a"], words["b"] = words["b"], words["a"]
    file.write_text(json.dumps(content))
    with pytest.raises(ConfigurationError, match="tokenizer changed"):
        begun(tmp_path / "run", there, pool)


def test_a_reward_function_that_was_edited_is_refused(model, pool, tmp_path):
    file = tmp_path / "mine.py"
    file.write_text("def reward(response, example):\n    return 1.0\n")

    class Mine:
        verifier = VerifierSpec("function", {"target": f"{file}:reward"})

    begun(tmp_path / "run", model, Mine())
    file.write_text("def reward(response, example):\n    return 0.0\n")
    with pytest.raises(ConfigurationError, match="verifier changed"):
        begun(tmp_path / "run", model, Mine())


@pytest.mark.parametrize(
    "changes", [{"seed": 1}, {"optimiser": {"learning_rate": 1e-4}}, {"algorithm": "dapo"}]
)
def test_other_settings_are_refused_and_what_changes_no_result_is_not(
    changes, model, pool, tmp_path
):
    begun(tmp_path / "run", model, pool)
    begun(tmp_path / "run", model, pool, distributed={"deadline": 5.0})
    with pytest.raises(ConfigurationError, match=r"(algorithm|settings) changed"):
        begun(tmp_path / "run", model, pool, **changes)


def test_a_checkpoint_of_another_run_is_refused(model, pool, tmp_path):
    for name, seed in (("mine", 0), ("other", 1)):
        begun(tmp_path / name, model, pool, seed=seed).train(steps=2)
    checkpoints = tmp_path / "mine" / "checkpoints"
    shutil.rmtree(checkpoints)
    shutil.copytree(tmp_path / "other" / "checkpoints", checkpoints)
    with pytest.raises(
        EngineError, match=r"step-00000002 is of another run.*: settings\. .*Remove it"
    ):
        begun(tmp_path / "mine", model, pool)


def test_without_its_newest_checkpoint_a_run_does_finished_stages_again(model, pool, tmp_path):
    schedule = {"stages": 3, "steps": 2}
    ratchet(begun(tmp_path / "whole", model, pool, algorithm="owpo"), **schedule)
    for removed in (1, 2):
        home = tmp_path / f"without-{removed}"
        shutil.copytree(tmp_path / "whole", home)
        newest = sorted((home / "checkpoints").iterdir())[-removed:]
        for path in newest:
            checkpoint.remove_directory(path)
        ratchet(begun(home, model, pool, algorithm="owpo"), **schedule)
        assert left_by(home) == left_by(tmp_path / "whole")


@pytest.mark.parametrize("name", ["adapter_config.json", "model/pytorch_model.bin"])
def test_a_file_that_was_put_into_a_checkpoint_is_refused(name, model, pool, tmp_path):
    begun(tmp_path / "run", model, pool).train(steps=2)
    (tmp_path / "run" / "checkpoints" / "step-00000002" / name).write_text("{}")
    with pytest.raises(EngineError, match=f"{name} was put there after it was written"):
        begun(tmp_path / "run", model, pool)


def test_the_stage_that_a_policy_is_compared_with_is_verified(model, pool, tmp_path):
    run = begun(tmp_path / "run", model, pool, algorithm="owpo")
    stage = run.train(steps=1)
    file = stage.last / "model.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(EngineError, match=r"last is damaged: model\.safetensors was changed"):
        run.train(steps=1, reference=stage.last)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"inputs": {}, "result": {}}'])
def test_a_spoiled_record_of_a_stage_is_refused_and_named(content, model, pool, tmp_path):
    begun(tmp_path / "run", model, pool).train(steps=1)
    record = tmp_path / "run" / "stages" / "00-train" / "stage.json"
    record.write_text(content)
    with pytest.raises(EngineError, match=r"stage\.json was removed or changed"):
        begun(tmp_path / "run", model, pool).train(steps=1)


def test_a_record_that_was_removed_from_under_later_stages_is_refused(model, pool, tmp_path):
    run = begun(tmp_path / "run", model, pool)
    run.train(steps=1)
    run.train(steps=1)
    (tmp_path / "run" / "stages" / "00-train" / "stage.json").unlink()
    with pytest.raises(EngineError, match=r"00-train/stage\.json was removed"):
        begun(tmp_path / "run", model, pool).train(steps=1)


@pytest.mark.parametrize("content", ["", "{", "[1]"])
def test_a_spoiled_list_of_inputs_is_refused_and_named(content, model, pool, tmp_path):
    begun(tmp_path / "run", model, pool)
    (tmp_path / "run" / "inputs.json").write_text(content)
    with pytest.raises(EngineError, match=r"inputs\.json cannot be read"):
        begun(tmp_path / "run", model, pool)


def test_lines_that_no_program_wrote_do_not_stop_a_run(model, pool, tmp_path):
    begun(tmp_path / "run", model, pool).train(steps=2)
    with (tmp_path / "run" / "metrics.jsonl").open("ab") as file:
        file.write(b'\xff\xfe\n{"other": 1}\n[1]\n{"step": 3, "half')
    begun(tmp_path / "run", model, pool).train(steps=2)
    assert {row["step"] for row in letters.lines_of(tmp_path / "run" / "metrics.jsonl")} == {1, 2}


def test_no_clock_decides_what_is_resumed(model, pool, tmp_path):
    begun(tmp_path / "whole", model, pool).train(steps=4)
    shutil.copytree(tmp_path / "whole", tmp_path / "jumped")
    files = sorted((tmp_path / "jumped").rglob("*"))
    for number, path in enumerate(files):  # from the year 2100 to 1970, the newest first
        then = 4102444800 - number * 4102444800 // len(files)
        os.utime(path, (then, then))
    resumed = begun(tmp_path / "jumped", model, pool)
    assert resumed.step == 4
    resumed.train(steps=4)
    assert left_by(tmp_path / "jumped") == left_by(tmp_path / "whole")


# ------------------------------------------------------------------ one at a time

RECIPE = {"task": "gym:chain_sum", "algorithm": "owpo"}
HOLD = """
import sys
from pathlib import Path
from jumar.engines.local.locks import owned
with owned(Path(sys.argv[1])):
    print("mine", flush=True)
    sys.stdin.readline()
"""


def test_two_runs_in_one_directory_are_refused_and_the_other_is_named(tmp_path):
    other = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    with other:
        assert other.stdout.readline() == "mine\n"
        with (
            pytest.raises(ConfigurationError, match=f"Another process trains.*{other.pid} on"),
            owned(tmp_path),
        ):
            pass
        other.kill()
    with owned(tmp_path):  # one that was killed holds nothing
        pass


def test_a_run_that_began_while_another_loaded_is_not_written_over(tmp_path):
    place = RunDirectory(tmp_path / "run", parse(RECIPE))
    place.check(resume=False)
    with ExitStack() as first:
        RunDirectory(tmp_path / "run", parse({**RECIPE, "seed": 1})).take(first, resume=False)
    with ExitStack() as held, pytest.raises(ConfigurationError, match="is not empty"):
        place.take(held, resume=False)
    with pytest.raises(ConfigurationError, match="it differs in seed"):
        place.check(resume=True)


def test_what_a_run_left_that_was_killed_before_it_began_is_no_run(tmp_path):
    (tmp_path / "run.lock").write_text("")
    (tmp_path / ".tmp-config.yaml-123").write_text("")
    RunDirectory(tmp_path, parse(RECIPE)).check(resume=False)
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(ConfigurationError, match="is not empty"):
        RunDirectory(tmp_path, parse(RECIPE)).check(resume=False)


def test_waiting_for_another_ends_when_it_makes_nothing_more(tmp_path):
    counted = iter([0, 0, 1, 2, *[2] * 99])
    with (
        owned(tmp_path),
        pytest.raises(EngineError, match=r"waited for the rewards.*made nothing for 0\.3 seconds"),
        in_turn(
            tmp_path / "run.lock", what="the rewards", patience=0.3, made=lambda: next(counted)
        ),
    ):
        pass
