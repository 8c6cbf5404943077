"""A scoring pool that several processes share: one pool in each, and every response scored once."""

from collections.abc import Sequence
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
