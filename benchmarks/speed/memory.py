"""Peak memory of a loss and its backward under a wide vocabulary: plain, TRL's and ours.

Each is a process of its own that gets the same responses. What is counted is what the process holds
at most (VmHWM, which Linux lets one set back) from the rollout on until just before the optimiser's
step, less what it holds at the beginning of that; so the gradients belong to it, and the weights do
not. The plain one holds about 10 GB.
"""

from dataclasses import asdict
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, TrainerCallback

from speed import ours, theirs
from speed.cases import MEMORY
from speed.held import forget_peak, held, peak
from speed.sides import Pause, Training, started
from speed.work import FIRST, THREADS, Work, even

TOLERANCE = 1e-4  # of a gradient's norm


def measured(quick: bool) -> dict[str, Any]:
    """Bytes, seconds and the norm of the gradient of each."""
    work = MEMORY.small() if quick else MEMORY
    ways: dict[str, Training] = {"plain": _plain, "TRL": _theirs, "jumar": _ours}
    found = {}
    for name, way in ways.items():
        with started({name: partial(way, work)}) as sides:
            found[name] = sides[name].first
    norms = [side["norm"] for side in found.values()]
    assert max(norms) - min(norms) < TOLERANCE * max(norms), found
    head = work.vocabulary * work.hidden * 4
    return {"work": asdict(work), "head_gradient": head, "ways": found}


class Mark:
    """Bytes and seconds from here on."""

    def __init__(self) -> None:
        forget_peak()
        self.bytes, self.start = held(), perf_counter()

    def tell(self, pause: Pause, model: Any) -> None:
        """The peak since, of a model whose gradients are there."""
        seconds, most = perf_counter() - self.start, peak() - self.bytes
        squares = [float(p.grad.double().square().sum()) for p in model.parameters()]
        pause(bytes=most, seconds=seconds, norm=sum(squares) ** 0.5)


def responses(work: Work) -> Tensor:
    """[rows, tokens]: random words, none of them EOS."""
    draw = torch.Generator().manual_seed(work.seed)
    shape = work.rows, work.response_tokens
    return torch.randint(FIRST, work.vocabulary, shape, generator=draw)


def rewards(token_ids: Tensor) -> Tensor:
    """[rows]: of the first words."""
    return torch.tensor(even([], [f"w{first}" for first in token_ids[:, 0].tolist()]))


def prompts(work: Work) -> Tensor:
    """[rows, prompt tokens]."""
    return torch.tensor(work.prompt_ids()).repeat_interleave(work.responses, dim=0)


def _plain(work: Work, pause: Pause, folder: Path) -> None:
    """All logits at once, as a paper's formula is written down."""
    torch.set_num_threads(THREADS)
    model = AutoModelForCausalLM.from_pretrained(work.write_model(folder / "model"))
    ids = responses(work)
    earned = rewards(ids).view(work.prompts, work.responses)
    spread = earned.std(dim=1, keepdim=True) + ours.GRPO["eps"]
    advantages = ((earned - earned.mean(dim=1, keepdim=True)) / spread).flatten()
    mark = Mark()
    logits = model(torch.cat([prompts(work), ids], dim=1)).logits
    logprobs = logits[:, work.prompt_tokens - 1 : -1].log_softmax(dim=-1)
    chosen = logprobs.gather(-1, ids[..., None])[..., 0]
    ratio = (chosen - chosen.detach()).exp()
    clipped = ratio.clamp(0.8, 1.2)
    surrogate = -torch.minimum(ratio * advantages[:, None], clipped * advantages[:, None])
    surrogate.mean().backward()
    mark.tell(pause, model)


def _ours(work: Work, pause: Pause, folder: Path) -> None:
    """The local engine's update."""
    torch.set_num_threads(THREADS)
    work.write_model(folder / "model")
    model = ours.model(folder)
    ids, rows = responses(work), prompts(work)
    batch = ours.batch(rows, ids, torch.ones_like(ids, dtype=torch.bool), rewards(ids))
    updater = ours.updater(model, folder)
    mark = Mark()
    updater.optimisers[0].register_step_pre_hook(lambda *_: mark.tell(pause, model))
    updater.update(batch, rows.tolist(), {})


def _theirs(work: Work, pause: Pause, folder: Path) -> None:
    """TRL's training step, which gets the responses from a rollout function."""
    host = theirs.trainer(work, folder, _Marked, max_grad_norm=0.0)
    ids = responses(work)

    def rollout(asked: list[str], trainer: Any) -> dict[str, Any]:
        logprobs = torch.zeros(ids.shape).tolist()
        rows = prompts(work).tolist()
        return {"prompt_ids": rows, "completion_ids": ids.tolist(), "logprobs": logprobs}

    host.rollout_func = rollout
    host.add_callback(_Tells(pause, host))
    host.train()


class _Marked(theirs.Timed):
    mark: Mark

    def _prepare_inputs(self, generation_batch: Any) -> Any:
        inputs = super()._prepare_inputs(generation_batch)
        self.mark = Mark()
        return inputs


class _Tells(TrainerCallback):  # type: ignore[misc]
    def __init__(self, pause: Pause, host: _Marked) -> None:
        self.pause, self.host = pause, host

    def on_pre_optimizer_step(self, *_: Any, model: Any = None, **__: Any) -> None:
        self.host.mark.tell(self.pause, model)
