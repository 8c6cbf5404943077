"""TRL trainers with our algorithms on a tiny model that samples for real."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from equivalence.peers import peer
from equivalence.trl_trainers import tiny_model, tiny_tokenizer
from jumar.algorithm import Algorithm

PROMPTS = ("a b c", "d e", "f", "g h i j")


def letters(completions: list[str], **_: Any) -> list[float]:
    """1 for a response whose first letter is of the first half of the alphabet that is there."""
    return [float(text[:1] in set("abcdefghij")) for text in completions]


def config(folder: Path, **settings: Any) -> Any:
    """Four prompts with four responses each, in two micro-batches, on the CPU."""
    usual = {
        "per_device_train_batch_size": 8,
        "gradient_accumulation_steps": 2,
        "num_generations": 4,
        "max_completion_length": 6,
        "max_steps": 2,
        "learning_rate": 1e-2,
        "logging_steps": 1,
        "save_strategy": "no",
        "disable_tqdm": True,
    }
    return peer("trl").GRPOConfig(
        output_dir=str(folder / "run"), use_cpu=True, bf16=False, report_to=[], **(usual | settings)
    )


def hosted(
    folder: Path,
    algorithm: Algorithm,
    *,
    reward: Callable[..., Any] = letters,
    columns: dict[str, list[Any]] | None = None,
    settings: dict[str, Any] | None = None,
    **arguments: Any,
) -> Any:
    """A JumarGRPOTrainer as a user makes it."""
    from datasets import Dataset

    from jumar.engines.trl import JumarGRPOTrainer

    given = {"model": tiny_model(folder / "model"), "processing_class": tiny_tokenizer()}
    return JumarGRPOTrainer(
        algorithm=algorithm,
        reward_funcs=reward,
        args=config(folder, **(settings or {})),
        train_dataset=Dataset.from_dict({"prompt": [*PROMPTS], **(columns or {})}),
        **(given | arguments),
    )
