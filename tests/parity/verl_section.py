"""What a user writes under `jumar` to run an algorithm of the case on verl, and its files."""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from jumar.algorithm import Algorithm
from jumar.engines.local.forward import response_logprobs
from jumar.engines.local.sampler import Sampling

from .case import BY_PROMPT, BY_RESPONSE, SETTINGS, Case

OF_PROMPT = BY_PROMPT.keys() - {"optimal_values"}  # in the data set
OF_RESPONSE = BY_RESPONSE.keys() - {"answer_ids"}  # by the reward function


def section(algorithm: Algorithm, case: Case, folder: Path) -> list[str]:
    """Overrides of verl's configuration."""
    settings = {"name": algorithm.name, **SETTINGS.get(algorithm.name, {})}
    found = [f"+jumar.algorithm.{key}={value}" for key, value in settings.items()]
    numbers = sorted(algorithm.reads & (OF_PROMPT | OF_RESPONSE))
    found += [f"+jumar.columns=[{','.join(numbers)}]"] if numbers else []
    found += ["+jumar.reward_parts=[part0,part1]"] if "reward_parts" in algorithm.reads else []
    if "optimal_values" in algorithm.reads:
        found.append(f"+jumar.values.file={_rewards(case, folder)}")
    if algorithm.rows == "stored" or "signal" in algorithm.reads:
        return found + _fixed(case, folder, pairs=algorithm.unit == "group")
    if "teacher_logprobs" in algorithm.reads:
        found.append("distillation.enabled=True")
    return found


def _rewards(case: Case, folder: Path) -> Path:
    """One reward of the reference for each prompt: V* is that reward."""
    rewards = torch.tensor(BY_PROMPT["optimal_values"])[:, None]
    ids = case.rollout.prompt_ids[:: len(case.rollout) // len(rewards)].clone()
    save_file({"prompt_ids": ids, "rewards": rewards}, folder / "rewards.safetensors")
    return folder / "rewards.safetensors"


def _fixed(case: Case, folder: Path, *, pairs: bool) -> list[str]:
    """The rollout as a fixed batch; two responses of each group where pairs are wanted."""
    rollout = case.rollout
    batch = rollout.with_columns(
        **{
            name: response_logprobs(
                model, case.prompts, rollout.token_ids, rollout.mask, sampling=Sampling()
            ).detach()
            for name, model in (("old_logprobs", case.earlier), ("teacher_logprobs", case.teacher))
        }
    )
    rows = torch.arange(len(batch))[batch.sample_ids < (2 if pairs else 4)]
    columns = {name: _single(column[rows]) for name, column in batch.columns.items()}
    about = {"step": 0, "stage_step": 0, "prompts": [case.prompts[row] for row in rows]}
    for name in ("batch", "signal"):
        (folder / name).mkdir()
    save_file({"signal": columns.pop("signal")}, folder / "signal" / "batch.safetensors")
    save_file(columns, folder / "batch" / "batch.safetensors")
    (folder / "batch" / "batch.json").write_text(json.dumps(about))
    named = [f"+jumar.batch={folder / 'batch'}", f"+jumar.signal={folder / 'signal'}"]
    two = [
        "actor_rollout_ref.rollout.n=2",
        "actor_rollout_ref.actor.ppo_micro_batch_size_per_gpu=4",
    ]
    return named + (two if pairs else [])


def _single(column: Tensor) -> Tensor:
    """As our own engine stores it."""
    return column.float() if column.is_floating_point() else column.contiguous()
