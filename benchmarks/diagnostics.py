"""What the diagnostics that are on by default cost, as a share of a quickstart step.

python benchmarks/diagnostics.py [--steps 20]

Every call of theirs is timed inside one run, and compared with the steps of the same run.
"""

import argparse
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

from jumar import Run
from jumar.config import raw_recipe
from jumar.engines.local import rollouts, trainer, update
from jumar.verifiers.pool import ScoringPool

WARM_UP = 2  # steps


class Stopwatch:
    """Adds up the seconds of the functions that it was put around."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def around(self, owner: Any, name: str) -> None:
        """Time every call of `owner.name` from now on."""
        function: Callable[..., Any] = getattr(owner, name)

        def timed(*args: Any, **options: Any) -> Any:
            start = perf_counter()
            try:
                return function(*args, **options)
            finally:
                self.seconds += perf_counter() - start

        setattr(owner, name, timed)


class Shares:
    """An observer that takes the share of each step."""

    def __init__(self, watch: Stopwatch) -> None:
        self.watch, self.before = watch, 0.0
        self.shares: list[float] = []

    def on_phase(self, text: str) -> None:
        self.before = self.watch.seconds

    def on_step(self, step: int, total: int | None, metrics: Any) -> None:
        spent, self.before = self.watch.seconds - self.before, self.watch.seconds
        self.shares.append(spent / metrics["time/step"])

    def on_validation(self, step: int, estimates: Any) -> None:
        self.before = self.watch.seconds


def main() -> None:
    """Train for some steps of the quickstart and print the median share."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=20)
    steps = parser.parse_args().steps
    watch = Stopwatch()
    watch.around(update, "of_update")
    watch.around(update, "by_token")
    watch.around(trainer, "spelled")
    watch.around(rollouts, "of_rollout")
    watch.around(ScoringPool, "statistics")
    recipe = raw_recipe("quickstart")[1]
    recipe["program"] = {**recipe["program"], "stages": 1, "steps": steps}
    recipe["evaluation"] = {**recipe["evaluation"], "every": 0, "final_prompts": 0}
    shares = Shares(watch)
    with tempfile.TemporaryDirectory() as directory:
        Run(**recipe, out=Path(directory) / "run").train(observer=shares)
    warm = shares.shares[WARM_UP:]
    low, middle, high = (100 * f(warm) for f in (min, statistics.median, max))
    print(f"{middle:.2f} % of a step, median of {len(warm)} steps; from {low:.2f} to {high:.2f} %")


if __name__ == "__main__":
    main()
