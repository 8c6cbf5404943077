"""V* of each prompt, from what the reference's own responses earned, as one of two files gives it.

    rewards.safetensors    A*-PO's stage 1 by jumar's own engine: prompt_ids [P], rewards [P, N]
    0.jsonl                verl's validation with `val_kwargs.n` responses: input, score per line

The second needs no engine but verl: it samples the training prompts as a validation set, and
writes what they earned (trainer.val_only, trainer.validation_data_dir).
"""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from jumar.engines.verl.columns import prompt_id
from jumar.engines.verl.settings import ValueSettings
from jumar.errors import ConfigurationError, DataError
from jumar.programs.a_star_po import optimal_value


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimalValues:
    """V* by prompt id."""

    file: Path
    numbers: Mapping[int, float]

    @property
    def of_whole_prompt(self) -> bool:
        """Whether an id is of the text that the model saw, template and all, as verl writes it."""
        return self.file.suffix == ".jsonl"

    def column(self, ids: Sequence[int]) -> Tensor:
        """[B] of the rows' prompts."""
        missing = sum(number not in self.numbers for number in ids)
        if missing:
            raise DataError(
                f"{self.file} has no rewards for {missing} of {len(ids)} responses' prompts, but "
                "V* is needed for each. Its prompts are others, or written otherwise. Sample the "
                "reference on the very file that data.train_files names, with the same template."
            )
        return torch.tensor([self.numbers[number] for number in ids])


def read_values(settings: ValueSettings) -> OptimalValues:
    """The file's rewards as values."""
    if not settings.file.is_file():
        raise ConfigurationError(
            f"jumar.values.file is {settings.file}, which is no file. V* of each prompt is made "
            "of the rewards in it. Name rewards.safetensors of A*-PO's stage 1, or the JSON lines "
            "that verl wrote to trainer.validation_data_dir."
        )
    found = _dumped(settings.file) if settings.file.suffix == ".jsonl" else _kept(settings.file)
    beta = float("inf") if settings.beta_value == "mean" else settings.beta_value
    numbers = {prompt: optimal_value(rewards, beta=beta) for prompt, rewards in found.items()}
    return OptimalValues(file=settings.file, numbers=numbers)


def _kept(file: Path) -> Mapping[int, Sequence[float]]:
    columns = load_file(file)
    pairs = zip(columns["prompt_ids"].tolist(), columns["rewards"].tolist(), strict=True)
    return dict(pairs)


def _dumped(file: Path) -> Mapping[int, Sequence[float]]:
    rewards: defaultdict[int, list[float]] = defaultdict(list)
    for line in file.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        rewards[prompt_id(row["input"])].append(row["score"])
    return rewards
