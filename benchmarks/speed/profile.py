"""Where the time of one of our steps goes: parts that do not overlap, and what is left over.

Private names of ours that are touched: sampler._draw.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from transformers import LlamaModel

from jumar.engines.local import sampler, update
from jumar.engines.local.policy import LocalPolicy
from jumar.engines.local.records import Records
from jumar.engines.local.rollouts import Collector
from jumar.verifiers.pool import ScoringPool
from speed import ours
from speed.cases import CASES, PROFILED
from speed.sides import Pause, alternated, started
from speed.work import Work

TURNS = 3


def measured(quick: bool) -> dict[str, Any]:
    """The seconds of each part of the middle one of some steps, of each case."""
    works = {name: CASES[name].work for name in PROFILED}
    works = {name: work.small() if quick else work for name, work in works.items()}
    found = {}
    for name, work in works.items():
        with started({name: partial(_profiled, work)}) as sides:
            turns = alternated(sides, 1 if quick else TURNS)[name]
        middle = sorted(turns, key=lambda turn: turn["step"])[len(turns) // 2]
        parts = {part: seconds for part, seconds in middle.items() if part not in ("peak", "step")}
        found[name] = {"step": middle["step"], "parts": parts}
    return {"work": {name: asdict(work) for name, work in works.items()}, "cases": found}


class Spans:
    """Seconds by part: those in a part that was entered from another one count for the inner."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._open: list[str] = []
        self._since = perf_counter()

    def around(self, owner: Any, name: str, part: str | Callable[[], str]) -> None:
        """Count every call of `owner.name` from now on."""
        function = getattr(owner, name)

        def counted(*arguments: Any, **named: Any) -> Any:
            self._turn(part if isinstance(part, str) else part())
            try:
                return function(*arguments, **named)
            finally:
                self._turn(None)

        setattr(owner, name, counted)

    def _turn(self, entered: str | None) -> None:
        now = perf_counter()
        if self._open:
            self.seconds[self._open[-1]] += now - self._since
        self._since = now
        if entered is None:
            self._open.pop()
        else:
            self._open.append(entered)

    def taken(self) -> dict[str, float]:
        """What was counted since the last time."""
        found = dict(self.seconds)
        self.seconds.clear()
        return found


def _profiled(work: Work, pause: Pause, folder: Path) -> None:
    ours.end_by_table(work)
    spans = Spans()
    spans.around(Collector, "collect", "rollout: prompts, columns, waiting for scores")
    spans.around(update.Updater, "update", "training: signals, columns, micro-batches")
    spans.around(LocalPolicy, "sample", "sampling: the cache and the rows")
    spans.around(sampler, "_draw", "sampling: head and draw")
    spans.around(
        LlamaModel,
        "forward",
        lambda: "training: forward" if torch.is_grad_enabled() else "sampling: model",
    )
    spans.around(LocalPolicy, "texts", "tokens to text")
    spans.around(ScoringPool, "score", "scoring")
    spans.around(update, "token_logprobs", "training: head")
    spans.around(torch.Tensor, "backward", "training: backward, its recomputations included")
    spans.around(update, "of_update", "diagnostics")
    spans.around(update, "summed_and_clipped", "gradient norm")
    spans.around(torch.optim.AdamW, "step", "optimiser")
    spans.around(Records, "append", "records on disk")
    ours.run(work, folder, ours.PLAIN, ours.GRPO).train(observer=_Observer(pause, spans))


class _Observer(ours.Observer):
    def __init__(self, pause: Pause, spans: Spans) -> None:
        super().__init__(pause)
        self.spans = spans

    def on_step(self, step: int, total: int | None, metrics: Mapping[str, float]) -> None:
        self.pause(**self.spans.taken())
