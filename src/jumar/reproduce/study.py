"""What a study is: arms that are run, the claims of a paper, and the test of each."""

import hashlib
import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from jumar.engines.contract import Estimate
from jumar.evaluation.intervals import mean

Record = Mapping[str, Any]
Metric = Callable[[Record], float]
Outcome = Literal["holds", "does not hold", "cannot be told at this scale"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One line of the table: a recipe, run under several seeds."""

    name: str
    title: str
    recipe: Mapping[str, Any]
    seeds: int
    tuned_as: str | None = None  # the arm whose tuned settings it takes; None: nothing is tuned
    timed: bool = False  # run alone and in turn with the other timed ones, and not scored


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a claim's test came to, and the numbers that say so."""

    outcome: Outcome
    evidence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A sentence of the paper in our words, and a test that was fixed before the runs."""

    says: str
    numbers: str  # the paper's own
    test: str  # in words
    judge: Callable[["Records"], Verdict]


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """Everything about one paper's comparison."""

    name: str
    title: str
    intro: str
    arms: Sequence[Arm]
    tuning: Sequence[Mapping[str, Any]]  # the same settings are tried for each tuned arm
    tasks: Mapping[str, str]  # where every arm is scored; the first is trained on
    claims: Sequence[Claim]
    table: Callable[["Records"], str]  # Markdown
    memory: Mapping[str, tuple[Mapping[str, Any], int]]  # algorithm, responses of a micro-batch

    def arm(self, name: str) -> Arm:
        """The arm of that name."""
        return next(arm for arm in self.arms if arm.name == name)

    @property
    def tuned(self) -> list[Arm]:
        """The arms that are tuned themselves."""
        return [arm for arm in self.arms if arm.tuned_as == arm.name]


class Records:
    """The records of a study's runs, by arm and seed."""

    def __init__(self, by_arm: Mapping[str, Mapping[int, Record]]) -> None:
        self.by_arm = by_arm

    def has(self, *arms: str) -> bool:
        """Whether each of these was run."""
        return all(self.by_arm.get(arm) for arm in arms)

    def values(self, arm: str, metric: Metric) -> list[float]:
        """One number per seed."""
        return [metric(record) for _, record in sorted(self.by_arm[arm].items())]

    def mean(self, arm: str, metric: Metric) -> Estimate:
        """Over seeds, by Student's t."""
        return mean(np.array(self.values(arm, metric)))

    def difference(self, arm: str, other: str, metric: Metric) -> Estimate:
        """Arm - other, paired by seed: same prompts in the same order, same test prompts."""
        seeds = sorted(self.by_arm[arm].keys() & self.by_arm[other].keys())
        pairs = [metric(self.by_arm[arm][s]) - metric(self.by_arm[other][s]) for s in seeds]
        return mean(np.array(pairs))

    def median_ratio(self, arm: str, other: str, metric: Metric) -> float:
        """The median over seeds of arm / other."""
        seeds = sorted(self.by_arm[arm].keys() & self.by_arm[other].keys())
        return statistics.median(
            metric(self.by_arm[arm][s]) / metric(self.by_arm[other][s]) for s in seeds
        )


def all_below(differences: Mapping[str, Estimate], bound: float, digits: int = 3) -> Verdict:
    """Holds where every interval ends below `bound`; fails where one begins at it or above."""
    evidence = "; ".join(
        f"{name} {d.value:+.{digits}f} [{d.low:+.{digits}f}, {d.high:+.{digits}f}]"
        for name, d in differences.items()
    )
    if all(d.high < bound for d in differences.values()):
        return Verdict(outcome="holds", evidence=evidence)
    if any(d.low >= bound for d in differences.values()):
        return Verdict(outcome="does not hold", evidence=evidence)
    return Verdict(outcome="cannot be told at this scale", evidence=evidence)


def negated(estimate: Estimate) -> Estimate:
    """The estimate of minus the same."""
    return Estimate(-estimate.value, -estimate.high, -estimate.low)


def config_hash(recipe: Mapping[str, Any]) -> str:
    """A name for exactly these settings."""
    return hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()[:12]
