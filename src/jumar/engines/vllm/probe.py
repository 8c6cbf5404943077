"""Whether the sampler has the trainer's weights: both give their log-probs of the same tokens.

After each synchronisation the gap is the mean over tokens of |trainer - sampler|. Two things are
wrong:

- a gap over the tolerance, which is what two programs may differ by in a dtype;
- a sampler whose log-probs are bit for bit those of an earlier synchronisation, while the trainer's
  have moved. That finds an exchange that did nothing even where the update was small.

Which synchronisation the sampler looks like says what happened: the last one, this one was skipped;
an older one, the weights are stale; none of them, a part is missing.
"""

from collections import deque

import torch
from torch import Tensor

from jumar.errors import SynchronisationError

TOLERANCE = {torch.float32: 1e-3, torch.float16: 0.02, torch.bfloat16: 0.1}  # nats per token
MOVED = 0.01  # tolerances; of a trainer that moved by less nothing can be told
REMEMBERED = 4  # synchronisations


class Probe:
    """Remembers what both sides said of the same tokens."""

    def __init__(self, tolerance: float) -> None:
        self.tolerance = tolerance
        self._seen: deque[tuple[Tensor, Tensor]] = deque(maxlen=REMEMBERED)

    def gap(self, trainer: Tensor, sampler: Tensor) -> float:
        """Nats per token between log-probs [N] of both sides, made after a synchronisation."""
        gap = distance(trainer, sampler)
        like = self._like(trainer, sampler, gap)
        if like is not None or not gap <= self.tolerance:  # NaN is what memory without weights says
            raise SynchronisationError(
                f"The sampler is {gap:.2g} nats per token away from the trainer after the weights "
                f"were synchronised (tolerance {self.tolerance:.2g}), but it has to draw from the "
                f"policy that is trained. {_looks(like)}. Look at vLLM's log, start it again, and "
                "go on from the last checkpoint with --resume; where a dtype or a kernel explains "
                "the gap, set vllm.tolerance."
            )
        self._seen.append((trainer, sampler))
        return gap

    def same_distribution(self, trainer: Tensor, reported: Tensor) -> None:
        """Refuse log-probs [N] that were reported for drawn tokens but are not those drawn from."""
        gap = distance(trainer, reported)
        if not gap <= self.tolerance:
            raise SynchronisationError(
                "The sampler has the right weights, but the log-probs that it reports are "
                f"{gap:.2g} nats per token away from the distribution that it was told to draw "
                "from, and they have to be of what is sampled. Most often the server applies "
                "neither temperature, top_p nor top_k to them. Start it with --logprobs-mode "
                "processed_logprobs, as python -m jumar.engines.vllm does."
            )

    def _like(self, trainer: Tensor, sampler: Tensor, gap: float) -> int | None:
        """How many synchronisations ago the sampler's weights were those of the trainer."""
        for ago, (then, said) in enumerate(reversed(self._seen), start=1):
            unmoved = torch.equal(sampler, said)
            if unmoved and distance(trainer, then) > MOVED * self.tolerance:
                return ago
            if gap > self.tolerance >= distance(then, sampler):
                return ago
        return None


def distance(one: Tensor, other: Tensor) -> float:
    """Nats per token."""
    return float((one - other).abs().mean())


def _looks(like: int | None) -> str:
    if like is None:
        return (
            "A part of its weights is missing or wrong: they are neither the new nor earlier ones"
        )
    if like == 1:
        return "It still has the weights of before: the synchronisation was skipped"
    return f"It has the weights of {like} synchronisations ago: they are stale"
