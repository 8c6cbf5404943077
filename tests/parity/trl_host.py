"""The case on TRL: two optimiser steps of its own training loop on one rollout.

TRL samples nothing here: a rollout function hands it the case's responses, and a reward function
their rewards. All the rest is its own: data loader, collation, log-probs, shuffling, micro-batches.
The first step is made by `earlier`, with a learning rate of 0; then the policy's weights are put in
place, and the second step on the same rollout is the one that is compared.
"""

import math
from collections import Counter
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from tokenizers import Tokenizer, models
from torch import Tensor
from transformers import PreTrainedTokenizerFast, TrainerCallback
from trl import GRPOConfig

from jumar.algorithm import Algorithm
from jumar.engines.trl import JumarGRPOTrainer

from .case import BY_PROMPT, BY_RESPONSE, EOS, PAD, QUESTIONS, TOOL, VOCABULARY, Case, Found
from .records import About

ABOUT = About(
    name="TRL",
    packages=("torch", "transformers", "trl", "accelerate"),
    ran="the second optimiser step on a rollout in GRPOTrainer's own training loop, two "
    "micro-batches of eight shuffled rows; TRL computes log-probs in float32",
    tolerance=2e-5,
)
ORDER = 0, 2, 1, 3  # of the prompts: the last two are answered shortly, and may fall to one process


def theirs(
    algorithm: Algorithm,
    case: Case,
    folder: Path,
    *,
    host: type = JumarGRPOTrainer,
    processes: int = 1,
    parts: int = 2,
    **config: Any,
) -> Found:
    """One optimiser step by TRL's loop, of `parts` micro-batches on each of `processes`."""
    case.reference.save_pretrained(folder / "reference")  # TRL loads its reference from disk
    model = _copied(case.earlier, case)
    model.config._name_or_path = str(folder / "reference")
    recorder = _Recorder(case)
    trainer = _recording(host)(
        model=model,
        reward_funcs=[_reward(case, part) for part in (0, 1)],
        args=GRPOConfig(
            output_dir=str(folder / "run"),
            use_cpu=True,
            bf16=False,
            report_to=[],
            save_strategy="no",
            disable_tqdm=True,
            optim="sgd",
            learning_rate=0.0,
            max_grad_norm=0.0,
            max_steps=2,
            num_generations=4,
            reward_weights=[0.5, 0.5],
            num_iterations=2,
            gradient_accumulation_steps=parts,
            per_device_train_batch_size=len(case.rollout) // parts // processes,
            max_completion_length=case.rollout.mask.shape[1],
            shuffle_dataset=False,
            seed=case.rollout.seed,
            **config,
        ),
        train_dataset=Dataset.from_dict(
            {
                "prompt": [QUESTIONS[number] for number in ORDER],
                **{name: [values[n] for n in ORDER] for name, values in BY_PROMPT.items()},
            }
        ),
        processing_class=tokenizer(),
        rollout_func=_rollout(case),
        callbacks=[recorder],
        algorithm=algorithm,
        teacher=_copied(case.teacher, case),
    )
    trainer.train()
    loss = trainer.accelerator.reduce(
        torch.tensor(trainer.losses[-parts:], dtype=torch.float64).sum(), "mean"
    )
    return Found(loss=loss.item(), gradients=recorder.gradients)


def tokenizer() -> Any:
    """As many words as the model has tokens, with its two special ones."""
    words = {f"word{number}": number for number in range(VOCABULARY)}
    del words[f"word{EOS}"], words[f"word{PAD}"]
    words |= {"<eos>": EOS, "<pad>": PAD}
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel(words, unk_token="word3")),
        pad_token="<pad>",
        eos_token="<eos>",
        unk_token="word3",
    )


class _Recorder(TrainerCallback):
    """Swaps the weights after the first optimiser step, and keeps the second one's gradients."""

    def __init__(self, case: Case) -> None:
        self.case, self.gradients = case, dict[str, Tensor]()

    def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        model.load_state_dict(self.case.policy.state_dict())

    def on_pre_optimizer_step(
        self, args: Any, state: Any, control: Any, model: Any = None, **_: Any
    ) -> None:
        self.gradients = {name: p.grad.clone() for name, p in model.named_parameters()}


def _recording(host: type) -> Any:
    class Recording(host):  # type: ignore[misc, valid-type]
        def training_step(self, *args: Any, **kwargs: Any) -> Tensor:
            loss = super().training_step(*args, **kwargs)
            self.losses = [*getattr(self, "losses", []), float(loss)]
            return loss

    return Recording


def _rollout(case: Case) -> Any:
    """TRL's experimental rollout function: the n-th time that a prompt comes, its n-th response."""
    batch = case.rollout
    lengths = [int(row.nonzero()[-1]) + 1 for row in batch.mask]

    def rollout(prompts: list[str], trainer: Any) -> dict[str, list[Any]]:
        seen: Counter[str] = Counter()
        rows = []
        for prompt in prompts:
            rows.append(4 * QUESTIONS.index(prompt) + seen[prompt])
            seen[prompt] += 1
        columns = {
            "completion_ids": batch.token_ids,
            "logprobs": batch.rollout_logprobs,
            "env_mask": batch.mask.long(),
        }
        cut = {n: [c[row][: lengths[row]].tolist() for row in rows] for n, c in columns.items()}
        own = {n: [values[row] for row in rows] for n, values in BY_RESPONSE.items()}
        return {"prompt_ids": [case.prompts[row] for row in rows], **cut, **own}

    return rollout


def _reward(case: Case, part: int) -> Any:
    """By prompt and response, so that no order is taken for granted."""
    batch = case.rollout
    table = {
        (QUESTIONS[int(group)], tuple(ids[mask].tolist())): parts[part].item()
        for group, ids, mask, parts in zip(
            batch.group_ids, batch.token_ids, batch.mask, batch.reward_parts, strict=True
        )
    }

    def reward(prompts: Any, completion_ids: Any, **_: Any) -> list[float | None]:
        own = [tuple(i for i in ids if i != TOOL) for ids in completion_ids]
        found = [table[key] for key in zip(prompts, own, strict=True)]
        return [None if math.isnan(value) else value for value in found]

    return reward


def _copied(model: torch.nn.Module, case: Case) -> Any:
    """A model of its own: TRL changes the forward of those that it gets."""
    made = type(model)(case.policy.config).to(next(model.parameters()).dtype)
    made.load_state_dict(model.state_dict())
    return made
