"""Several verifiers in one: a weighted sum, each part reported by its name.

The first part is the verifier proper: it alone decides `correct`, the status and the extracted
answer; the others only add to the score, and may have no opinion.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from jumar.errors import ConfigurationError
from jumar.verifiers.build import build
from jumar.verifiers.reward_function import NO_OPINION
from jumar.verifiers.score import Scorable, Score, Scorer, VerifierSpec


def scorer(*, parts: Sequence[Mapping[str, Any]]) -> Scorer:
    """The sum of weight x score over `parts`: {"name", "weight", "verifier": {...}} each."""
    names = [str(part["name"]) for part in parts]
    if not parts or len(set(names)) != len(names):
        raise ConfigurationError(
            f"The weighted verifier was given the parts {names}, and it needs one or more with "
            "names of their own, so that each is reported apart. Rename or add parts."
        )
    weights = [float(part.get("weight", 1.0)) for part in parts]
    scorers = [build(VerifierSpec.from_dict(part["verifier"])) for part in parts]

    def score(response: str, example: Scorable) -> Score:
        found = [one(response, example) for one in scorers]
        details = [f"{n}: {s.detail}" for n, s in zip(names, found, strict=True) if s.detail]
        silent = [s.detail.endswith(NO_OPINION) for s in found]
        if silent[0]:
            return found[0]
        broken = [
            s
            for s, quiet in zip(found, silent, strict=True)
            if s.status in ("crashed", "timed_out") and not quiet
        ]
        status = broken[0].status if broken else found[0].status
        total = sum(w * s.score for w, s in zip(weights, found, strict=True))
        rewards = {n: s.score for n, s, q in zip(names, found, silent, strict=True) if not q}
        for name, one in zip(names, found, strict=True):
            rewards |= {f"{name}.{key}": value for key, value in one.rewards.items() if key != name}
        correct = found[0].correct and not broken
        extracted = found[0].extracted
        return Score(
            0.0 if broken else total, correct, status, extracted, rewards, "; ".join(details)
        )

    return score
