"""What a reader of a run should know before its scores, each with what to do about it.

"At the end" is the mean over the last tenth of the steps; a single step says little.
"""

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

from jumar.reports.numbers import number, score
from jumar.reports.runs import RunRecord

ENTROPY = 0.1  # of what it was at the start


class Finding(NamedTuple):
    """What is so, and what to do."""

    what: str
    do: str


class Limit(NamedTuple):
    """What a metric should not be above at the end."""

    metric: str
    most: float
    what: str  # {} is where the number goes
    do: str


SHARES = (  # of the responses, or of the prompts
    Limit(
        "truncated", 0.1,
        "{} of the responses are cut at the length limit at the end.",
        "Raise rollout.max_response_tokens, or shape the reward by length.",
    ),
    Limit(
        "status/unparseable", 0.1,
        "The verifier finds no answer in {} of the responses at the end.",
        "Read some of them below; state the form of the answer in the prompt.",
    ),
    Limit(
        "groups/tied", 0.5,
        "{} of the prompts teach nothing at the end: all of their responses earn the same.",
        "Take harder prompts where they are all right, easier ones where they are all wrong.",
    ),
)  # fmt: skip
DISTANCES = (  # nats per token
    Limit(
        "logprob/gap", 0.01,
        "Sampler and trainer differ by {} nats per token at the end.",
        "Sample and train in the same dtype, or set correction.kind=truncated.",
    ),
    Limit(
        "kl", 1.0,
        "The policy is {} nats per token away from its reference at the end.",
        "Lower the learning rate, or anchor the policy: a KL penalty, one-way weights.",
    ),
)  # fmt: skip


def findings(run: RunRecord) -> list[Finding]:
    """Everything worth knowing, in the order in which it should be looked at."""
    return [finding for check in CHECKS for finding in check(run)]


def _not_finite(run: RunRecord) -> Iterator[Finding]:
    for row in run.rows:
        for metric, value in row.items():
            if isinstance(value, float) and not math.isfinite(value):
                yield Finding(
                    f"`{metric}` is {number(value)} at step {row['step']}.",
                    "Lower optimiser.learning_rate, and start from a checkpoint before that step.",
                )
                return


def _above(run: RunRecord) -> Iterator[Finding]:
    for limits, written in ((SHARES, _percent), (DISTANCES, number)):
        for metric, most, what, do in limits:
            value = _at_end(run, metric)
            if value > most:
                yield Finding(what.format(written(value)), do)


def _verifier(run: RunRecord) -> Iterator[Finding]:
    advice = {
        "crashed": "Read their detail below; `jumar check` tries the verifier on known answers.",
        "timed_out": "Raise scoring.wall_seconds, or choose a cheaper verifier.",
    }
    for status, do in advice.items():
        shares = run.points(f"status/{status}")
        if worst := max(shares.values, default=0.0):
            step = shares.steps[shares.values.index(worst)]
            yield Finding(
                f"The verifier {status.replace('_', ' ')} on {_percent(worst)} of the responses "
                f"of step {step}; they score 0.",
                do,
            )


def _entropy(run: RunRecord) -> Iterator[Finding]:
    start, end = run.points("entropy").values[:1], _at_end(run, "entropy")
    if start and end < ENTROPY * start[0]:
        yield Finding(
            f"Entropy fell to {number(end)} from {number(start[0])} nats per token: the policy "
            "hardly explores any more.",
            "Lower the learning rate or stop earlier; a higher clip_high keeps rare tokens alive.",
        )


def _validation(run: RunRecord) -> Iterator[Finding]:
    if run.rows and not run.validations:
        yield Finding(
            "Nothing was evaluated on held-out prompts while the run went on.",
            "Set evaluation.every, to see when it stopped getting better.",
        )


def _best(run: RunRecord) -> Iterator[Finding]:
    steps, values, lows, _ = run.validation("pass@1")
    if not values:
        return
    at = values.index(max(values))
    if values[-1] < lows[at]:
        yield Finding(
            f"Held-out pass@1 was {score(values[at])} at step {steps[at]} and is "
            f"{score(values[-1])} at step {steps[-1]}, below the interval of the best.",
            "Use the best checkpoint: `best` of that stage in stages/.",
        )


CHECKS: tuple[Callable[[RunRecord], Iterator[Finding]], ...] = (
    _not_finite, _best, _verifier, _above, _entropy, _validation,
)  # fmt: skip


def _at_end(run: RunRecord, metric: str) -> float:
    """Mean over the last tenth of the steps; NaN, which no limit is below, where there is none."""
    values = run.points(metric).values
    last = values[-max(1, len(values) // 10) :]
    return math.fsum(last) / len(last) if last else math.nan


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.1 else f"{100 * share:.2g} %"
