"""Scoring that several processes share, and that goes on while responses are still sampled."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import asdict

from jumar.engines.local.distributed import gathered, rank, world
from jumar.verifiers.pool import ScoringPool
from jumar.verifiers.score import Scorable, Score


class SharedPool(ScoringPool):
    """Each process scores its share of the responses, and all of them have every score."""

    def score(self, responses: Sequence[str], examples: Sequence[Scorable]) -> list[Score]:
        """One score per response, in order; all processes have to ask for the same ones."""
        mine = slice(rank(), None, world())
        own = super().score(responses[mine], examples[mine])
        parts = gathered([asdict(score) for score in own])
        return [Score(**parts[i % world()][i // world()]) for i in range(len(responses))]


class EarlyScores:
    """Scores of one rollout: that of a response begins as soon as it ends, if anybody tells."""

    def __init__(
        self,
        pool: ScoringPool,
        examples: Sequence[Scorable],
        decode: Callable[[Sequence[int]], str],
    ) -> None:
        self._pool, self._examples, self._decode = pool, examples, decode
        self._begun: dict[int, Future[Score]] = {}

    def ended(self, row: int, token_ids: Sequence[int]) -> None:
        """A response is whole; whoever sampled it scores it."""
        text, example = self._decode(token_ids), self._examples[row]
        (self._begun[row],) = self._pool.begin([text], [example])

    def all(self, responses: Sequence[str]) -> list[Score]:
        """One score per response, in order; those that nobody began are scored now."""
        own = [(row, asdict(future.result())) for row, future in self._begun.items()]
        found = {row: Score(**score) for part in gathered(own) for row, score in part}
        rest = [row for row in range(len(responses)) if row not in found]
        asked = [responses[row] for row in rest], [self._examples[row] for row in rest]
        found.update(zip(rest, self._pool.score(*asked), strict=True))
        return [found[row] for row in range(len(responses))]
