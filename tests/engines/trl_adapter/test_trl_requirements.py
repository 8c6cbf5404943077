"""What TRL cannot give is refused before anything is loaded, and what is replaced is said."""

import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest

from jumar import algorithms
from jumar.engines.trl.requirements import check_algorithm, check_config, check_divergences
from jumar.errors import ConfigurationError

pytestmark = pytest.mark.slow  # the package imports TRL where there is one

REFUSED = {
    "ppo": "no value model.*Use jumar's own engine, or an algorithm without a critic",
    "dpo": "learns from stored responses.*DPOTrainer",
    "opd": "given none.*Pass teacher=MODEL",
    "kdrl": "given none.*Pass teacher=MODEL",
    "topr": "gets none from generate.*Set use_vllm=True, or pass a rollout_func",
    "erpd_student": "`signal`.*for every token.*the program that makes it",
    "copo": "`answer_ids`.*for every response.*Pass a rollout_func that returns 'answer_ids'",
    "a_star_po": "`optimal_values`.*has the columns prompt.*add_column.'optimal_values'",
}


def refused(name, **given):
    usual = {"teacher": False, "sampler_logprobs": False, "columns": ["prompt"]}
    check_algorithm(algorithms.get(name), **(usual | given))


@pytest.mark.parametrize("name", REFUSED)
def test_what_trl_cannot_give_is_refused_with_what_to_do(name):
    with pytest.raises(ConfigurationError, match=f"(?s)`{name}`.*{REFUSED[name]}"):
        refused(name)


def test_what_is_given_is_accepted():
    refused("opd", teacher=True)
    refused("topr", sampler_logprobs=True)
    refused("a_star_po", columns=["prompt", "optimal_values"])
    refused("a_star_po", columns=None)  # a stream does not say what it holds


def configured(**settings):
    usual = {
        "steps_per_generation": 4, "gradient_accumulation_steps": 2, "sync_ref_model": False,
        "per_device_train_batch_size": 8, "per_device_eval_batch_size": 8, "eval_strategy": "no",
        "num_generations": 4, "num_generations_eval": None,
    }  # fmt: skip
    return SimpleNamespace(**(usual | settings))


def test_an_optimiser_step_never_mixes_two_rollouts():
    check_config(algorithms.grpo(), configured())
    with pytest.raises(ConfigurationError, match=r"would mix two rollouts.*multiple of 2"):
        check_config(algorithms.grpo(), configured(steps_per_generation=3))


def test_losses_of_groups_get_whole_groups():
    check_config(algorithms.rebel(), configured())
    check_config(algorithms.rebel(), configured(per_device_eval_batch_size=2))
    with pytest.raises(ConfigurationError, match=r"part of a group.*multiple of 4"):
        check_config(algorithms.rebel(), configured(per_device_train_batch_size=6))
    with pytest.raises(ConfigurationError, match=r"per_device_eval_batch_size to a multiple of 3"):
        check_config(algorithms.rebel(), configured(eval_strategy="steps", num_generations_eval=3))


def test_a_reference_that_nobody_reads_is_not_synchronised():
    with pytest.raises(ConfigurationError, match=r"reads no reference.*Leave sync_ref_model out"):
        check_config(algorithms.rloo(), configured(sync_ref_model=True))
    check_config(algorithms.owpo(), configured(sync_ref_model=True))


def test_the_whole_vocabulary_needs_a_whole_output_layer():
    check_divergences(algorithms.opd(), sharded=False, reference=False)
    check_divergences(algorithms.grpo(), sharded=True, reference=False)
    with pytest.raises(ConfigurationError, match=r"FSDP and DeepSpeed.*Train it with DDP"):
        check_divergences(algorithms.opd(), sharded=True, reference=True)


def test_a_divergence_from_the_reference_needs_a_reference_model():
    to_reference = replace(algorithms.oreo(), value_loss=None)
    with pytest.raises(ConfigurationError, match=r"with peft.*Train without peft"):
        check_divergences(to_reference, sharded=False, reference=False)


WITHOUT = """
import sys
sys.modules["trl"] = None
from jumar import algorithms
from jumar.engines.trl import JumarGRPOTrainer
try:
    JumarGRPOTrainer("model", algorithm=algorithms.owpo())
except ValueError as error:
    print(error)
"""


def test_without_trl_it_imports_and_says_what_to_install():
    done = subprocess.run([sys.executable, "-c", WITHOUT], capture_output=True, text=True)
    assert "TRL is missing" in done.stdout
    assert "pip install 'jumar[trl]'" in done.stdout
