"""The same loss and gradients in TRL's own training loop, and planted errors that must show."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from equivalence.peers import peer
from equivalence.trl_trainers import WARNINGS
from jumar import algorithms
from jumar.correction import corrected

from .case import algorithm, case, difference, ours
from .records import check, host, stored

pytestmark = [pytest.mark.slow, *(pytest.mark.filterwarnings(w) for w in WARNINGS)]


@pytest.fixture(autouse=True)
def trl(monkeypatch):
    monkeypatch.setenv("TRL_EXPERIMENTAL_SILENCE", "1")
    return peer("trl")


@pytest.mark.parametrize("name", algorithms.names())
def test_trl_gives_our_loss_and_our_gradients(name):
    check("trl", name)


@pytest.mark.parametrize("parts", [1, 4])
def test_any_number_of_micro_batches_gives_them(parts, tmp_path):
    found = host("trl").theirs(algorithm("owpo"), case(), tmp_path, parts=parts)
    assert max(difference(ours(algorithm("owpo"), case()), found)) < stored("trl")["tolerance"]


def test_a_correction_for_the_sampler_gives_ours(tmp_path):
    record = corrected(algorithm("owpo"), kind="truncated", ratio_max=1.02)
    plain, wanted = ours(algorithm("owpo"), case()), ours(record, case())
    assert difference(plain, wanted).gradient > 0.01
    found = host("trl").theirs(record, case(), tmp_path)
    assert max(difference(wanted, found)) < stored("trl")["tolerance"]


def test_two_processes_give_those_of_one(tmp_path):
    script, file = Path(__file__).with_name("trl_processes.py"), tmp_path / "found.json"
    launch = ["torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [sys.executable, "-m", *launch, str(script), str(tmp_path), str(file)],
        capture_output=True, text=True, timeout=400,
        cwd=Path(__file__).parents[1],
        env={**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": "."},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(file.read_text())
    assert set(found) == {"owpo", "bapo", "rebel", "gkd", "kdrl"}
    assert all(max(pair) < stored("trl")["tolerance"] for pair in found.values()), found


def shifted_mask(base):
    """Every response begins one token late."""

    class Planted(base):
        def _columns(self, output, inputs):
            columns = super()._columns(output, inputs)
            return {**columns, "mask": columns["mask"].roll(1, dims=1)}

    return Planted


def tool_output_as_ours(base):
    """What a tool wrote counts as sampled."""

    class Planted(base):
        def _columns(self, output, inputs):
            return super()._columns({n: c for n, c in output.items() if n != "tool_mask"}, inputs)

    return Planted


def divided_by_accumulation(base):
    """As if the trainer had not been told that the loss is a share of the whole."""

    class Planted(base):
        def _compute_loss(self, model, inputs):
            return super()._compute_loss(model, inputs) / self.args.gradient_accumulation_steps

    return Planted


def scale_of_the_micro_batch(base):
    """Each micro-batch is divided by its own counts."""

    class Planted(base):
        def _window(self, inputs):
            return [inputs], True

    return Planted


def dropped_rows_counted(base):
    """The scale counts what `keep` has dropped."""

    class Planted(base):
        def _loss_scale(self, model, window):
            masks = [{**part, "jumar/mask": part["completion_mask"].bool()} for part in window]
            return super()._loss_scale(model, masks)

    return Planted


def groups_of_the_shuffled_rows(base):
    """Rows are grouped by their place after the shuffle."""

    class Planted(base):
        def _window(self, inputs):
            window, first = super()._window(inputs)
            for part in window:
                part["jumar/advantages"] = part["jumar/advantages"].roll(1, dims=0)
            return window, first

    return Planted


PLANTED = [
    shifted_mask, tool_output_as_ours, divided_by_accumulation, scale_of_the_micro_batch,
    dropped_rows_counted, groups_of_the_shuffled_rows,
]  # fmt: skip


@pytest.mark.parametrize("plant", PLANTED, ids=lambda plant: plant.__name__)
def test_a_planted_error_is_found(plant, tmp_path):
    from jumar.engines.trl import JumarGRPOTrainer

    record, fixed = algorithm("dapo"), case()
    found = host("trl").theirs(record, fixed, tmp_path, host=plant(JumarGRPOTrainer))
    assert difference(ours(record, fixed), found).gradient > 500 * stored("trl")["tolerance"]
