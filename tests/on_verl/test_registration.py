"""A registration is asserted: what is missing, stale or replaced ends with a sentence."""

import os
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest
import torch

from jumar import algorithms
from jumar.engines.verl import host, loss, plugin
from jumar.errors import EngineError
from parity.case import algorithm, case
from parity.verl_host import models
from parity.verl_queue import standing_in
from parity.verl_section import section

LOOK = """
from verl.trainer.ppo.v1 import get_trainer_cls
print("FOUND", get_trainer_cls("jumar").__module__)
"""


def looked_up(**environment: str) -> str:
    """What a process of verl's finds under our name."""
    done = subprocess.run(
        [sys.executable, "-c", LOOK], capture_output=True, text=True, timeout=300,
        env={**os.environ, **environment},
    )  # fmt: skip
    return done.stdout + done.stderr


def test_verl_finds_the_trainer_by_itself() -> None:
    assert "FOUND jumar.engines.verl.trainer" in looked_up()


def test_where_plugins_are_off_verl_says_that_the_trainer_is_unknown() -> None:
    assert "Unknown trainer 'jumar'" in looked_up(VERL_USE_EXTERNAL_PLUGINS="none")


def test_a_trainer_that_could_not_be_loaded_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    from verl.trainer.ppo.v1 import trainer_base

    monkeypatch.setattr(trainer_base, "TRAINER_REGISTRY", {})
    monkeypatch.delitem(sys.modules, host.__name__)
    monkeypatch.setitem(sys.modules, plugin.OURS, None)  # its import fails
    plugin.load()
    with pytest.raises(EngineError, match=r"could not be loaded.*Mend that in the environment"):
        trainer_base.get_trainer_cls("jumar")({})


def test_a_worker_with_another_jumar_refuses_the_loss() -> None:
    stale = replace(loss.of_policy(algorithms.get("owpo")), made_by="0123456789abcdef")
    with pytest.raises(EngineError, match=r"rank 0.*Install the same jumar on every node"):
        models().policy.set_loss_fn(stale)


def test_a_worker_whose_loss_was_replaced_does_not_train() -> None:
    worker = models().policy
    worker.set_loss_fn(print)
    with pytest.raises(EngineError, match=r"not by jumar's loss.*remove what else calls"):
        worker.train_batch({})


class Saved:
    """verl's own part of a checkpoint, which is not looked at here."""

    def save_checkpoint(self, *_: Any, **__: Any) -> None:
        pass

    load_checkpoint = save_checkpoint

    def state_dict(self) -> dict[str, int]:
        return {}

    load_state_dict = save_checkpoint


def test_the_algorithms_state_is_in_verls_checkpoint(tmp_path: Any) -> None:
    record, small = algorithm("dcpo"), case()
    (tmp_path / "files").mkdir()
    overrides = [
        *section(record, small, tmp_path / "files"),
        f"trainer.default_local_dir={tmp_path}",
    ]
    with standing_in() as queue:
        models().step(record, queue, small, tmp_path / "files")
        trainer = models().trainer(queue, overrides)
        assert trainer.state, "dcpo keeps a state"
        trainer.state = {name: torch.ones(3) for name in trainer.state}
        trainer.actor_rollout_wg = trainer.train_dataloader = Saved()
        trainer.global_steps = 7
        trainer._save_checkpoint()
        again = models().trainer(queue, [*overrides, "trainer.resume_mode=auto"])
        again.actor_rollout_wg = again.train_dataloader = Saved()
        again._load_checkpoint()
    assert again.global_steps == 7
    assert all(torch.equal(column, torch.ones(3)) for column in again.state.values())
