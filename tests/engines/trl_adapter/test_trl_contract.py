"""What the adapter touches of TRL's private parts is there, and is what it was."""

import ast
import inspect
import re
from pathlib import Path

import pytest
import torch
from made_trainers import config, hosted

from equivalence.peers import peer
from equivalence.trl_trainers import WARNINGS
from jumar import algorithms
from jumar.engines.trl import trainer as adapter

pytestmark = [pytest.mark.slow, *(pytest.mark.filterwarnings(w) for w in WARNINGS)]
SOURCE = Path(adapter.__file__).read_text(encoding="utf-8")

SIGNATURES = {
    "_calculate_rewards": "self, inputs, prompts, completions, completion_ids_list",
    "_generate_and_score_completions": "self, inputs",
    "_compute_loss": "self, model, inputs",
    "_save_checkpoint": "self, model, trial",
    "_load_optimizer_and_scheduler": "self, checkpoint",
    "_get_output_dir": "self, trial",
}
VALUES = {
    "_step": int, "_metrics": dict, "_logs": dict, "_tokenizer": object,
    "_buffered_inputs": type(None),
    "beta": float, "temperature": float, "aux_loss_enabled": bool, "router_aux_loss_coef": float,
    "num_generations": int, "num_generations_eval": int, "eos_token_ids": list,
    "reward_weights": torch.Tensor, "ref_model": torch.nn.Module,
    "is_fsdp_enabled": bool, "is_deepspeed_enabled": bool,
}  # fmt: skip


@pytest.fixture
def trl():
    return peer("trl")


@pytest.mark.parametrize("name", SIGNATURES)
def test_a_method_takes_what_it_took(trl, name):
    found = inspect.signature(getattr(trl.GRPOTrainer, name)).parameters
    assert ", ".join(found) == SIGNATURES[name]


def test_the_pass_for_log_probs_takes_what_it_took(trl):
    found = list(inspect.signature(trl.GRPOTrainer._get_per_token_logps_and_entropies).parameters)
    assert found[:8] == [
        "self", "model", "input_ids", "attention_mask", "logits_to_keep", "batch_size",
        "compute_entropy", "compute_aux_loss",
    ]  # fmt: skip


def test_the_head_for_a_teacher_takes_what_it_took():
    found = inspect.signature(peer("trl.trainer.utils").add_fused_lm_head).parameters
    assert list(found)[:2] == ["model", "temperature"]


def test_trl_divides_nothing_by_the_accumulated_micro_batches(trl):
    assert trl.GRPOTrainer.loss_is_scaled_for_ga is True


def test_a_trainer_has_the_attributes_that_are_read(trl, tmp_path):
    made = hosted(tmp_path, algorithms.owpo())
    other = [name for name, kind in VALUES.items() if not isinstance(getattr(made, name), kind)]
    assert other == []


def test_a_rollout_has_the_keys_that_are_read(trl, tmp_path, monkeypatch):
    monkeypatch.setenv("TRL_EXPERIMENTAL_SILENCE", "1")

    def rollout(prompts, trainer):
        rows = len(prompts)
        return {
            "prompt_ids": [[5, 6]] * rows, "completion_ids": [[7, 8, 1]] * rows,
            "logprobs": [[-1.0, -2.0, -3.0]] * rows, "env_mask": [[1, 0, 1]] * rows,
        }  # fmt: skip

    made = trl.GRPOTrainer(
        model=hosted(tmp_path, algorithms.owpo()).model,
        reward_funcs=lambda completions, **_: [1.0] * len(completions),
        args=config(tmp_path, beta=0.1, num_iterations=2),
        train_dataset=hosted(tmp_path, algorithms.owpo()).train_dataset,
        processing_class=hosted(tmp_path, algorithms.owpo()).processing_class,
        rollout_func=rollout,
    )
    found = made._generate_and_score_completions([{"prompt": "a"}] * 16)
    assert {name: list(column.shape) for name, column in found.items()} == {
        "prompt_ids": [16, 2], "prompt_mask": [16, 2],
        "completion_ids": [16, 3], "completion_mask": [16, 3], "tool_mask": [16, 3],
        "advantages": [16], "num_items_in_batch": [],
        "old_per_token_logps": [16, 3], "ref_per_token_logps": [16, 3],
        "sampling_per_token_logps": [16, 3],
    }  # fmt: skip


def test_rows_that_are_added_are_shuffled_and_split_with_the_others():
    utils = peer("trl.trainer.utils")
    rows = torch.arange(8)
    added = {"completion_ids": rows, "n": torch.tensor(3), "jumar/mask": rows[:, None] * 10}
    parts = utils.split_tensor_dict(utils.shuffle_sequence_dict(added), 2)
    assert all((part["jumar/mask"][:, 0] == 10 * part["completion_ids"]).all() for part in parts)
    assert sorted(torch.cat([part["completion_ids"] for part in parts]).tolist()) == rows.tolist()


def test_the_responses_of_a_prompt_stand_together():
    sampler = peer("trl.trainer.utils").RepeatSampler(
        range(4), mini_repeat_count=2, batch_size=2, repeat_count=2, seed=0
    )
    first, second = list(sampler)[:4], list(sampler)[:4]
    assert all(order[0] == order[1] and order[2] == order[3] for order in (first, second))


def test_the_list_at_the_top_of_the_adapter_is_complete():
    tree = ast.parse(SOURCE)
    own = {n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)}
    assigned = {"_rewards", "_scale"}
    overridden = own & set(dir(peer("trl").GRPOTrainer))
    touched = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and re.match(r"_[a-z]", node.attr)
    }
    private = {name for name in overridden if re.match(r"_[a-z]", name)}
    private |= touched - own - assigned
    listed = set(re.findall(r"\b_[a-z]\w+", ast.get_docstring(tree)))
    assert listed == private
