"""Verifiers: what an answer is worth, decided in processes that can be killed."""

from jumar.verifiers.pool import ScoringPool
from jumar.verifiers.score import STATUSES, Score, Status, VerifierSpec

__all__ = ["STATUSES", "Score", "ScoringPool", "Status", "VerifierSpec"]
