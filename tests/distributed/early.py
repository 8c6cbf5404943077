"""The verifier of the letters, in a file of its own, which scoring processes import fast."""

from dataclasses import replace
from pathlib import Path
from typing import Any


def early(response: str, example: dict[str, Any]) -> float:
    """1.0 where most of a response sorts before "k"."""
    return float(sum(c < "k" for c in response) > len(response) / 2)


def with_it(task: Any) -> Any:
    """The task with this verifier."""
    from jumar.verifiers.score import VerifierSpec

    return replace(task, verifier=VerifierSpec("function", {"target": f"{Path(__file__)}:early"}))
