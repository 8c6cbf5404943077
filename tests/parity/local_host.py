"""Our own engine against itself, with other micro-batches."""

from pathlib import Path

from jumar.algorithm import Algorithm

from .case import Case, Found, ours
from .records import About

ABOUT = About(
    name="jumar",
    packages=("torch", "transformers"),
    ran="the step in as many micro-batches as it has rows, or groups, instead of two",
    tolerance=1e-13,
)


def theirs(algorithm: Algorithm, case: Case, folder: Path) -> Found:
    """The same step, cut as finely as it can be."""
    return ours(algorithm, case, parts=len(case.rollout))
