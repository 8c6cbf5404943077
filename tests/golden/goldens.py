"""What every algorithm of the folder gives on the fixed batch: loss, gradients, advantages."""

import json
from pathlib import Path
from typing import Any

from torch import Tensor

from jumar import algorithms
from jumar.algorithm import policy_loss, reduced_stats
from jumar.types import LossScale

from .batch import GROUPS, PAIRS, hashed_kept, hashed_tokens

FILE = Path(__file__).parent / "losses.json"
ENTRIES = 12  # of each gradient: enough to tell two losses apart, few enough to read


def golden(name: str) -> dict[str, Any]:
    """The numbers of one algorithm at its defaults; group losses see the batch of pairs."""
    algorithm = algorithms.get(name)
    kept = hashed_kept(algorithm, PAIRS if algorithm.unit == "group" else GROUPS)
    tokens = hashed_tokens(algorithm, kept)
    scale = LossScale.of(tokens, reduced_stats(algorithm, [tokens]))
    loss = policy_loss(algorithm, tokens, scale).loss
    loss.backward()
    grads = {n: c.grad for n, c in tokens.columns.items() if c.requires_grad and c.grad is not None}
    return {
        "loss": _digits(loss),
        "advantages": [_digits(a) for a in tokens.advantages[tokens.mask][:ENTRIES]],
        "gradients": {
            n: {
                "first": [_digits(g) for g in grad[tokens.mask][:ENTRIES]],
                "norm": _digits(grad.norm()),
            }
            for n, grad in sorted(grads.items())
        },
    }


def _digits(x: Tensor) -> float:
    return float(f"{x.item():.12g}")


def stored() -> dict[str, Any]:
    """The numbers in the repository."""
    return json.loads(FILE.read_text(encoding="utf-8"))


def write() -> None:
    """Compute all of them again."""
    numbers = {name: golden(name) for name in algorithms.names()}
    FILE.write_text(json.dumps(numbers, indent=1) + "\n", encoding="utf-8")
