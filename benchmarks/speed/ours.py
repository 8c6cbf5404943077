"""jumar's side: a run as a user starts it, whose observer waits for its turn after each step.

Private names of ours that are touched: sampler._uniforms, Updater._guard.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from jumar import Run, algorithms
from jumar.engines.local import sampler
from jumar.engines.local.guard import Guard
from jumar.engines.local.models import load_model
from jumar.engines.local.update import Models, Updater
from jumar.engines.settings import EngineSettings
from jumar.tasks import Example, Task
from jumar.types import RolloutBatch
from jumar.verifiers.score import VerifierSpec
from speed.sides import Pause
from speed.work import LEARNING_RATE, THREADS, Work

GRPO = {"name": "grpo", "kl_coef": 0.0, "eps": 1e-4}  # as TRL's with beta=0 and loss_type="grpo"
PLAIN = {"name": "plain", "steps": 10**6}
ROOM = 0.02  # of the unit interval that is left to EOS, which is drawn at 0 alone


def grpo(work: Work, pause: Pause, folder: Path) -> None:
    """Steps without end."""
    end_by_table(work)
    run(work, folder, PLAIN, GRPO).train(observer=Observer(pause))


def run(work: Work, folder: Path, program: Any, algorithm: Any) -> Run:
    """The work as a run; nothing is evaluated and no response is kept."""
    return Run(
        model=str(work.write_model(folder / "model")),
        task=task(work),
        algorithm=algorithm,
        program=program,
        out=folder / "run",
        loading={"threads": THREADS, "device": "cpu"},
        rollout={
            "prompts": work.prompts,
            "responses": work.responses,
            "max_prompt_tokens": work.prompt_tokens,
            "max_response_tokens": work.response_tokens,
        },
        optimiser={"learning_rate": LEARNING_RATE},
        evaluation={"every": 0, "final_prompts": 0},
        checkpoints={"every": 10**6, "rollouts_every": 0},
    )


def task(work: Work) -> Task:
    """The prompts, scored by the function that TRL gets, too."""
    target = f"{Path(__file__).with_name('work.py')}:even"
    verifier = VerifierSpec("function", {"target": target})
    examples = [Example(prompt=text) for text in work.texts()]
    return Task(name="words", train=examples, validation=[], test=[], verifier=verifier)


@dataclass(slots=True, kw_only=True)
class Recorder(Updater):
    """The engine's updater, adding up the losses of its micro-batches."""

    loss: float = 0.0

    @property
    def _guard(self) -> Guard:
        return Listening(self.algorithm.name, self.directory, self)


@dataclass(frozen=True, slots=True)
class Listening(Guard):
    """What looks at the losses of a recorder tells it of them."""

    recorder: Recorder

    def check(self, what: str, value: Tensor, batch: RolloutBatch) -> None:
        """See `Guard`."""
        if what == "loss":
            self.recorder.loss += value.item()


def model(folder: Path) -> nn.Module:
    """The model of a folder, as a run loads it."""
    torch.set_num_threads(THREADS)
    return load_model(folder / "model", device="cpu")[0]


def updater(
    model: nn.Module, folder: Path, algorithm: Mapping[str, Any] = GRPO, **others: nn.Module
) -> Recorder:
    """What trains `model` on rollouts; no weight moves, and no gradient is clipped.

    `others` are the reference and so on.
    """
    return Recorder(
        algorithm=algorithms.get(**algorithm),
        models=Models(policy=model, **others),
        settings=EngineSettings.model_validate({"optimiser": {"max_grad_norm": torch.inf}}),
        optimisers=[torch.optim.SGD(model.parameters(), lr=0.0)],
        directory=folder,
    )


def batch(
    prompts: Tensor, token_ids: Tensor, mask: Tensor, rewards: Tensor, **columns: Tensor
) -> RolloutBatch:
    """A rollout whose groups are the rows with one prompt."""
    return RolloutBatch.build(
        token_ids=token_ids,
        mask=mask,
        truncated=torch.zeros(len(mask), dtype=torch.bool),
        rewards=rewards,
        correct=rewards == 1.0,
        group_ids=torch.unique(prompts, dim=0, return_inverse=True)[1],
        **columns,
    )


def end_by_table(work: Work) -> None:
    """Responses of this process end where the table says.

    A token is the inverse CDF at a uniform, and EOS is the first token. So a uniform of 0 draws it,
    and one that is above its probability does not; what the sampler does is the same as ever.
    """
    places = {example.prompt_id: place for place, example in enumerate(task(work).train)}
    drawn: Callable[..., Tensor] = sampler._uniforms

    def uniforms(
        prompt_ids: Sequence[int], sample_ids: Sequence[int], count: int, seed: int, step: int
    ) -> Tensor:
        numbers = drawn(prompt_ids, sample_ids, count, seed, step) * (1 - ROOM) + ROOM
        group = len(sample_ids) // len(prompt_ids)
        table = torch.from_numpy(work.ends(max(step, 0), group))
        rows = [places[prompt] for prompt in prompt_ids for _ in range(group)]
        ends = table[rows, torch.tensor(sample_ids)]
        ended = (ends < count).nonzero()[:, 0]
        numbers[ended, ends[ended]] = 0.0
        return numbers

    sampler._uniforms = uniforms


class Observer:
    """Waits after each step."""

    def __init__(self, pause: Pause) -> None:
        self.pause = pause

    def on_phase(self, text: str) -> None:
        """Nothing."""

    def on_step(self, step: int, total: int | None, metrics: Mapping[str, float]) -> None:
        self.pause(
            rollout=metrics["time/sample"] + metrics["time/score"],
            tokens=metrics["sampled_tokens"],
        )

    def on_validation(self, step: int, estimates: Any) -> None:
        """There is none."""
