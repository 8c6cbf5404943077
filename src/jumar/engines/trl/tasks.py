"""A task of ours as TRL's data set and reward function.

task = tasks.get("gym:chain_sum")
JumarGRPOTrainer(..., reward_funcs=task_reward(task), train_dataset=task_dataset(task))
"""

import json
from collections.abc import Callable, Sequence
from typing import Any

from jumar.tasks.task import Task
from jumar.verifiers.pool import ScoringPool
from jumar.verifiers.score import Row

Reward = Callable[..., list[float]]


def task_dataset(task: Task, split: str = "train") -> Any:
    """A `datasets.Dataset` of one split: `prompt` as messages, and what the verifier reads."""
    from datasets import Dataset

    examples = task.split(split)
    return Dataset.from_dict(
        {
            "prompt": [task.template.messages(example) for example in examples],
            "question": [example.prompt for example in examples],
            "answer": [example.answer for example in examples],
            "metadata": [json.dumps(dict(example.metadata)) for example in examples],
        }
    )


def task_reward(task: Task, *, workers: int = 2) -> Reward:
    """The verifier as a reward function: 1 for a right answer, 0 for any other.

    Every score has its deadline in a process that can be killed; those live as long as this one.
    """
    pool = ScoringPool(task.verifier, workers=workers)

    def correct(
        completions: Sequence[Any],
        question: Sequence[str],
        answer: Sequence[str],
        metadata: Sequence[str],
        **_: Any,
    ) -> list[float]:
        texts = [c if isinstance(c, str) else c[-1]["content"] for c in completions]
        rows = [
            Row(prompt, gold, json.loads(more))
            for prompt, gold, more in zip(question, answer, metadata, strict=True)
        ]
        return [float(score.correct) for score in pool.score(texts, rows)]

    return correct
