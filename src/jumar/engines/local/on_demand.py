"""Measurements that cost samples of their own: made every so many steps, told with their price."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter

import numpy as np

from jumar.engines.contract import Observer
from jumar.engines.local.alignment import Probe
from jumar.engines.local.anchors import load_frozen
from jumar.engines.local.distance import own_divergences
from jumar.engines.local.policy import LocalPolicy
from jumar.engines.local.update import Updater
from jumar.engines.settings import EngineSettings
from jumar.ops.logprobs import DivergenceKind
from jumar.tasks.task import Example
from jumar.types import State
from jumar.verifiers.pool import ScoringPool

Measured = dict[str, float | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class OnDemand:
    """Measures the policy as it is now, on some validation prompts."""

    start: str  # the model that the run began with
    policy: LocalPolicy
    pool: ScoringPool
    examples: Sequence[Example]
    settings: EngineSettings
    observer: Observer

    def due(self, step: int) -> list[str]:
        """What is measured after this step."""
        chosen = self.settings.diagnostics
        periods = {"distance": chosen.distance_every, "alignment": chosen.alignment_every}
        return [name for name, every in periods.items() if every and step % every == 0]

    def measure(self, what: str, step: int, updater: Updater, state: State) -> Measured:
        """Numbers by name, the seconds and the sampled tokens that they cost among them."""
        began = perf_counter()
        if what == "distance":
            found, title = self._distance(step), "Distance from the start"
        else:
            found, title = self._alignment(step, updater, state), "Gradient alignment"
        found["seconds"] = perf_counter() - began
        shown = ", ".join(
            f"{name} {value:.3f}"
            for name, value in found.items()
            if value is not None and name not in ("seconds", "sampled_tokens")
        )
        self.observer.on_phase(
            f"{title} after step {step}: {shown} ({found['seconds']:.1f} s and "
            f"{found['sampled_tokens']:.0f} sampled tokens for it)."
        )
        return found

    def _distance(self, step: int) -> Measured:
        """Nats per token of the policy's own responses."""
        start = load_frozen(self.start, "start", self.policy, self.settings.loading)
        kinds: tuple[DivergenceKind, ...] = ("reverse_kl", "forward_kl", "entropy")
        nats, tokens = own_divergences(
            self.policy, start, self.examples, kinds, samples=4, seed=self.settings.seed + step
        )
        found: Measured = {kind: float(nats[kind].sum() / tokens.sum()) for kind in kinds}
        return found | {"sampled_tokens": float(tokens.sum())}

    def _alignment(self, step: int, updater: Updater, state: State) -> Measured:
        """The mean cosine over nodes, its standard error, and apart in right and wrong ones."""
        probe = Probe(
            updater=updater, policy=self.policy, pool=self.pool, state=state,
            responses=self.settings.rollout.responses, step=step, seed=self.settings.seed,
        )  # fmt: skip
        found = probe.measured(self.examples)
        count = len(found.scores)
        error = float(found.scores.std(ddof=1) / np.sqrt(count)) if count > 1 else None
        parts: Mapping[str, np.ndarray] = {
            "in_right": found.scores[found.in_right],
            "in_wrong": found.scores[~found.in_right],
        }
        return {
            "alignment": float(found.scores.mean()),
            "standard_error": error,
            **{name: float(part.mean()) if len(part) else None for name, part in parts.items()},
            "sampled_tokens": float(found.sampled_tokens),
        }
