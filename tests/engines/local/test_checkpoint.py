import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from architectures import random_model
from safetensors.torch import load_file, save_file

from jumar.engines.local import checkpoint
from jumar.errors import EngineError


def writer(step):
    def write(path):
        (path / "model").mkdir()
        save_file({"w": torch.full((4,), float(step))}, path / "model" / "model.safetensors")
        (path / "state.json").write_text(json.dumps({"step": step}))

    return write


def names(root):
    return sorted(entry.name for entry in root.iterdir())


@pytest.mark.slow
def test_a_save_killed_at_any_line_leaves_a_complete_checkpoint(tmp_path):
    script = Path(__file__).with_name("killed_saves.py")
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["violations"] == []
    assert report["killed"] > 200


def test_the_newest_checkpoint_has_the_highest_step_not_the_latest_date(tmp_path):
    for step in (9, 12, 10):
        checkpoint.save(tmp_path, step, writer(step))
    assert checkpoint.newest(tmp_path) == tmp_path / "step-00000012"


def test_there_is_no_newest_checkpoint_in_an_empty_or_missing_directory(tmp_path):
    assert checkpoint.newest(tmp_path) is None
    assert checkpoint.newest(tmp_path / "nowhere") is None


@pytest.mark.parametrize("harm", ["no manifest", "half a manifest", "missing file", "shorter file"])
def test_an_incomplete_checkpoint_is_refused(tmp_path, harm):
    good, bad = (checkpoint.save(tmp_path, step, writer(step)) for step in (1, 2))
    manifest, file = bad / "manifest.json", bad / "model" / "model.safetensors"
    if harm == "no manifest":
        manifest.unlink()
    elif harm == "half a manifest":
        manifest.write_text(manifest.read_text()[:40])
    elif harm == "missing file":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(EngineError, match=r"manifest\.json|model/model\.safetensors"):
        checkpoint.newest(tmp_path)
    checkpoint.remove_directory(bad)
    assert checkpoint.newest(tmp_path) == good


def test_a_flipped_bit_is_refused_and_its_file_named(tmp_path):
    path = checkpoint.save(tmp_path, 1, writer(1))
    file = path / "model" / "model.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(EngineError, match=r"model/model\.safetensors was changed"):
        checkpoint.newest(tmp_path)


def test_the_last_and_the_best_are_kept(tmp_path):
    for step, score in enumerate([0.5, 0.9, 0.1, 0.9, None, 0.2]):
        checkpoint.save(tmp_path, step, writer(step), score=score)
    checkpoint.prune(tmp_path, keep_last=2, keep_best=1)
    assert names(tmp_path) == ["step-00000003", "step-00000004", "step-00000005"]


def test_unfinished_directories_of_dead_processes_go_and_those_of_living_ones_stay(tmp_path):
    gone = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"],
        capture_output=True,
        text=True,
        check=True,
    )
    dead, living = f".tmp-step-00000001-{gone.stdout.strip()}", f".tmp-step-00000001-{os.getppid()}"
    for name in (dead, living):
        (tmp_path / name).mkdir()
    checkpoint.save(tmp_path, 2, writer(2))
    assert names(tmp_path) == [living, "step-00000002"]


def test_a_directory_is_replaced_as_a_whole(tmp_path):
    for step in (1, 2):
        checkpoint.replace_directory(tmp_path / "best", writer(step))
    assert names(tmp_path) == ["best"]
    assert load_file(tmp_path / "best" / "model" / "model.safetensors")["w"].eq(2.0).all()
    checkpoint.verify(tmp_path / "best")


def test_json_is_replaced_as_a_whole(tmp_path):
    for number in (1, 2):
        checkpoint.write_json(tmp_path / "deep" / "state.json", {"number": number})
    assert json.loads((tmp_path / "deep" / "state.json").read_text()) == {"number": 2}
    assert names(tmp_path / "deep") == ["state.json"]


def test_a_writer_that_fails_leaves_nothing_behind(tmp_path):
    checkpoint.save(tmp_path, 1, writer(1))

    def broken(path):
        writer(2)(path)
        raise KeyError("no")

    with pytest.raises(KeyError):
        checkpoint.save(tmp_path, 2, broken)
    assert names(tmp_path) == ["step-00000001"]


@pytest.mark.parametrize("format", ["safetensors", "json"])
def test_a_full_disk_is_one_clear_error_and_earlier_checkpoints_stay(tmp_path, format):
    first = checkpoint.save(tmp_path, 1, writer(1))

    def large(path):
        if format == "json":
            (path / "large.json").write_text("0" * 100_000)
        else:
            save_file({"w": torch.zeros(100_000)}, path / "large.safetensors")

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limits[1]))
    try:
        with pytest.raises(EngineError, match=r"could not write.*Earlier checkpoints are whole"):
            checkpoint.save(tmp_path, 2, large)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert names(tmp_path) == ["step-00000001"]
    assert checkpoint.newest(tmp_path) == first


WRITERS = {
    "save": lambda parent: checkpoint.save(parent, 1, writer(1)),
    "replace": lambda parent: checkpoint.replace_directory(parent / "best", writer(1)),
    "json": lambda parent: checkpoint.write_json(parent / "state.json", {}),
}


@pytest.mark.parametrize("act", WRITERS)
def test_a_place_that_cannot_be_written_is_one_clear_error(tmp_path, act):
    (tmp_path / "file").write_text("")
    for parent in (Path("/proc/nothing"), tmp_path / "file"):
        with pytest.raises(EngineError, match="could not write"):
            WRITERS[act](parent)


def trained(model, optimiser, steps):
    for step in range(steps):
        torch.manual_seed(step)
        optimiser.zero_grad()
        model(torch.randint(0, 48, (2, 6))).logits.square().mean().backward()
        optimiser.step()


def adam(model):
    return torch.optim.AdamW(model.parameters(), lr=1e-2)


@pytest.mark.parametrize("name", ["llama", "llama_tied"])
def test_a_restored_optimiser_continues_bit_for_bit(tmp_path, name):
    model = random_model(name, spread=1.0)
    optimiser = adam(model)
    trained(model, optimiser, 3)
    save_file(checkpoint.optimiser_tensors(model, optimiser), tmp_path / "o.safetensors")
    copy = random_model(name, spread=1.0)
    copy.load_state_dict(model.state_dict())
    restored = adam(copy)
    checkpoint.load_optimiser(copy, restored, load_file(tmp_path / "o.safetensors"))
    for pair in ((model, optimiser), (copy, restored)):
        trained(*pair, 3)
    for left, right in zip(model.parameters(), copy.parameters(), strict=True):
        assert torch.equal(left, right)


def test_optimiser_state_of_another_model_is_refused():
    model = random_model("llama")
    with pytest.raises(EngineError, match=r"moments of other\.weight"):
        checkpoint.load_optimiser(model, adam(model), {"other.weight.exp_avg": torch.zeros(1)})
