"""TRL's side: its GRPOTrainer in its own loop, with a callback that waits for its turn.

Private names of TRL that are touched: GRPOTrainer._prepare_inputs, in which it samples and scores.
"""

from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from datasets import Dataset
from torch import Tensor
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    LogitsProcessor,
    LogitsProcessorList,
    PrinterCallback,
    TrainerCallback,
)
from trl import GRPOConfig, GRPOTrainer

from speed.sides import Pause
from speed.work import EOS, LEARNING_RATE, THREADS, Work, even

EPOCHS = 1000  # steps in one, so that a step does not begin with a new data loader


def grpo(work: Work, pause: Pause, folder: Path, **settings: Any) -> None:
    """Steps without end; `settings` are those of a GRPOConfig."""
    host = trainer(work, folder, **settings)
    host.add_callback(_Waits(pause, host))
    host.train()


def trainer(work: Work, folder: Path, kind: Any = None, **settings: Any) -> "Timed":
    """TRL's trainer of the work, or a `kind` of it; one micro-batch of all rows unless `settings`
    say otherwise.
    """
    torch.set_num_threads(THREADS)
    place = work.write_model(folder / "model")
    model = AutoModelForCausalLM.from_pretrained(place)
    model.generate = ending(work, model.generate)
    host = (kind or Timed)(
        model=model,
        reward_funcs=even,
        args=GRPOConfig(
            num_generations=work.responses, beta=0.0, loss_type="grpo", shuffle_dataset=False,
            **(usual(work, folder) | settings),
        ),
        train_dataset=Dataset.from_dict({"prompt": work.texts() * EPOCHS}),
        processing_class=AutoTokenizer.from_pretrained(place),
    )  # fmt: skip
    host.remove_callback(PrinterCallback)
    return host


def usual(work: Work, folder: Path) -> dict[str, Any]:
    """Settings of every trainer of TRL's: all rows at once, and nothing that is not work."""
    return {
        "per_device_train_batch_size": work.rows,
        "gradient_accumulation_steps": 1,
        "gradient_checkpointing": False,
        "max_completion_length": work.response_tokens,
        "max_steps": 10**6,
        "learning_rate": LEARNING_RATE,
        "lr_scheduler_type": "constant",
        "weight_decay": 0.0,
        "max_grad_norm": 1.0,
        "seed": work.seed,
        "use_cpu": True,
        "bf16": False,
        "dataloader_num_workers": 0,
        "dataloader_pin_memory": False,
        "output_dir": str(folder / "run"),
        "save_strategy": "no",
        "logging_strategy": "no",
        "disable_tqdm": True,
        "report_to": [],
    }


class Timed(GRPOTrainer):  # type: ignore[misc]
    """Knows what of a step went into its rollout."""

    rollout, tokens = 0.0, 0

    def _prepare_inputs(self, generation_batch: Any) -> Any:
        start = perf_counter()
        inputs = super()._prepare_inputs(generation_batch)
        self.rollout += perf_counter() - start
        self.tokens += int(inputs["completion_mask"].sum())
        return inputs


class _Waits(TrainerCallback):  # type: ignore[misc]
    def __init__(self, pause: Pause, host: Timed) -> None:
        self.pause, self.host = pause, host

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.pause(rollout=self.host.rollout, tokens=self.host.tokens)
        self.host.rollout, self.host.tokens = 0.0, 0


def ending(work: Work, generate: Callable[..., Any], step: int = 1) -> Callable[..., Any]:
    """`generate` whose rows end where the table says; transformers asks a processor each token.

    The first responses to a prompt are those of `step`, its second ones of the next.
    """
    return partial(generate, logits_processor=LogitsProcessorList([_Ends(work, step)]))


class _Ends(LogitsProcessor):  # type: ignore[misc]
    """EOS where a row ends, and nowhere else: one column, and the rows that end."""

    def __init__(self, work: Work, step: int) -> None:
        self.work = work
        self.steps = Counter(dict.fromkeys(range(work.prompts), step))  # by prompt
        self.ends: Tensor = torch.empty(0)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        position = input_ids.shape[1] - self.work.prompt_tokens
        if position == 0:
            self.ends = self._table(input_ids)
        scores[:, EOS] = -torch.inf
        due = (self.ends == position).nonzero()[:, 0]
        if len(due):
            scores[due] = -torch.inf
            scores[due, EOS] = 0.0
        return scores

    def _table(self, input_ids: Tensor) -> Tensor:
        """[rows]: where each ends, whatever order the prompts come in, all at once or not."""
        places = {tuple(prompt): place for place, prompt in enumerate(self.work.prompt_ids())}
        rows = [places[tuple(prompt)] for prompt in input_ids.tolist()]
        seen: Counter[int] = Counter()
        numbers = []
        for row in rows:
            ends = self.work.ends(self.steps[row], len(rows) // len(set(rows)))
            numbers.append(int(ends[row, seen[row]]))
            seen[row] += 1
        self.steps.update(set(rows))
        return torch.tensor(numbers)
