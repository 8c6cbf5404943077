"""The commands of docs/verl.md are ones that verl and the adapter take."""

import re
import shlex
from pathlib import Path

import pytest
import verl.trainer.config
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from verl.utils.config import validate_config

from jumar.engines.verl import provision
from jumar.engines.verl.settings import read

PAGE = (Path(__file__).parents[2] / "docs" / "verl.md").read_text()
WORD = re.compile(r"\+?[a-z][\w.]+=\S+")
BLOCKS = [
    [word for word in shlex.split(block.replace("\\\n", " "), comments=True) if WORD.match(word)]
    for language, block in re.findall(r"^```(\w*)\n(.*?)^```$", PAGE, re.S | re.M)
    if not language
]
NODE, STAGE, STUDENT = (block for block in BLOCKS if block)
STORED = {"signal", "old_logprobs"}


@pytest.mark.parametrize(
    ("overrides", "stored"),
    [
        (NODE, set()),
        ([*NODE, "trainer.nnodes=4"], set()),
        ([*NODE, *STAGE], set()),
        (
            [*(word for word in NODE if not word.startswith("+jumar")), *STUDENT],
            STORED,
        ),
    ],
    ids=["one node", "several nodes", "stage 1 of A*-PO", "stage 2 of ERPD"],
)
def test_a_command_is_taken(overrides: list[str], stored: set[str]) -> None:
    folder = str(Path(verl.trainer.config.__file__).parent)
    with initialize_config_dir(config_dir=folder, version_base=None):
        config = compose("ppo_trainer", overrides=overrides)
    settings = read(OmegaConf.to_container(config.jumar))
    provision.check(settings.record(), settings, config, stored)
    provision.switch_passes(settings.record(), config)
    validate_config(
        config,
        use_reference_policy=config.actor_rollout_ref.actor.use_kl_loss,
        use_critic=config.critic.enable,
    )
