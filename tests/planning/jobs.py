"""Jobs of small models, and the models themselves, to hold formulas to what the engine does."""

from pathlib import Path
from typing import Any

import torch
from transformers import Qwen2Config, Qwen2ForCausalLM

from jumar.config import parse
from jumar.engines.local.models import new_critic, recompute_activations
from jumar.engines.local.update import Models, Updater
from jumar.planning.job import Job, job_of
from jumar.types import COLUMNS, RolloutBatch


def recipe(model: Path | str, **groups: Any) -> dict[str, Any]:
    return {
        "model": str(model),
        "task": "gym:chain_sum",
        "algorithm": "dapo",
        "plan": {"ranks": 1},
        **groups,
    }


def job(model: Path | str, **groups: Any) -> Job:
    return job_of(parse(recipe(model, **groups)))


def small_model(folder: Path, *, dtype: str, checkpointing: bool = False, **numbers: int) -> Any:
    """A model with random weights; its config.json is in the folder."""
    sizes = {
        "vocab_size": 2000, "hidden_size": 128, "intermediate_size": 384,
        "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 2,
    }  # fmt: skip
    config = Qwen2Config(**{**sizes, **numbers}, attn_implementation="eager")
    config.save_pretrained(folder)
    torch.manual_seed(0)
    model = Qwen2ForCausalLM(config).to(getattr(torch, dtype)).eval()
    if checkpointing:
        recompute_activations(model)
    return model


def updater(of: Job, model: Any, folder: Path) -> Updater:
    critic = new_critic(model) if of.critic else None
    return Updater(
        algorithm=of.algorithm, models=Models(policy=model, critic=critic),
        settings=of.config.engine_settings(), optimisers=[], directory=folder,
    )  # fmt: skip


def batch(of: Job) -> RolloutBatch:
    """Responses to one prompt, all of them as long as the recipe lets them be."""
    rows, length = of.config.rollout.responses, of.config.rollout.max_response_tokens
    shape = {"B": (rows,), "BT": (rows, length)}
    reads = of.algorithm.reads - {"values"} | ({"old_values"} if of.critic else set())
    first = torch.arange(rows) == 0
    columns: Any = {name: -torch.rand(shape[COLUMNS[name].shape]) for name in sorted(reads)}
    return RolloutBatch.build(
        token_ids=torch.randint(0, of.shape.vocabulary, (rows, length)),
        mask=torch.ones(rows, length, dtype=torch.bool),
        truncated=torch.zeros(rows, dtype=torch.bool),
        scores=first.float(), correct=first, rewards=first.float(),
        group_ids=torch.zeros(rows, dtype=torch.long),
        prompt_ids=torch.zeros(rows, dtype=torch.long),
        sample_ids=torch.arange(rows),
        **columns,
    )  # fmt: skip


def one_step(of: Job, model: Any, folder: Path) -> Updater:
    """The updater after one optimiser step's gradients, which are still there."""
    made, rows = updater(of, model, folder), batch(of)
    prompts = [[1] * of.config.rollout.max_prompt_tokens] * len(rows)
    rows, _, _ = made.with_signals(rows, of.algorithm.init_state())
    made.step(rows, prompts, torch.arange(len(rows)))
    return made
