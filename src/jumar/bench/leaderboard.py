"""The page of the bench, from its records alone: who learned, who did not, how far they went."""

from collections.abc import Sequence

from jumar import algorithms
from jumar.bench.arms import (
    ARMS,
    NOT_RUN,
    OTHERWISE,
    PROMPTS,
    RATES,
    RESPONSES,
    SEEDS,
    STEPS,
    TRAINED,
)
from jumar.bench.reasons import REASONS
from jumar.engines.local.provision import needs
from jumar.reproduce.study import Record, Records, cell, table

HEAD = f"""A base of a third of a million parameters, which gets about half of the sums of two
or three numbers right, is trained by every algorithm with the settings of its card; lengths in
tokens and schedules in steps are scaled to the task. The budget is the same for all: {STEPS} steps
of {PROMPTS} prompts with {RESPONSES} responses and two optimiser steps each; where a filter drops
groups, nothing is sampled in their place. So is the tuning: learning rates
{", ".join(f"{rate:g}" for rate in RATES)}, one run each at a seed that is not reported, chosen by
its validation score after the last step. Reported is the last policy on 400 test prompts, four
samples each, over {SEEDS} seeds with 95 % intervals (Student's t). KL is to the base, in nats per
token; tokens are those sampled in training.

The task is small, and so is the budget: the page says that an algorithm learns and what it costs in
KL. It does not rank methods for large models, and most of its intervals overlap."""
ALONE, TAUGHT, SPENT = "From rewards alone", "With a teacher", "The same budget, spent otherwise"
KINDS = {
    ALONE: "The policy samples, the verifier marks.",
    TAUGHT: """A run of GRPO with four times the budget marks every token; for `rto` it stands where
the paper has a DPO policy. What it knows cost that budget, so compare these with each other.""",
    SPENT: f"""`a_star_po` and CGPO's two sample 480 of the {STEPS * PROMPTS * RESPONSES:,}
responses from the base, for V* or a baseline. `erpd_student` samples all of them at once; 40
updates make SAPO's extreme teacher, 20 distil it. `spo_segment` has eight responses a step, and
nine continuations of each of their cuts, which its tokens leave out. `sft` and `dft` see right
worked sums, `dpo`, `simpo` and `tgdpo` (which has the teacher, too) pairs of a right and a wrong
one: as many rows as others sample, from the distribution that the base was made of.""",
}


def score(record: Record, name: str = "pass@1") -> float:
    """Of the last policy."""
    return float(record["scores"]["last"][TRAINED][name][0])


def distance(record: Record) -> float:
    """KL of the last policy to the base, nats per token."""
    return float(record["scores"]["last"]["kl"][0])


def kind(name: str) -> str:
    """The table that an algorithm is in."""
    if name in OTHERWISE:
        return SPENT
    return TAUGHT if needs(algorithms.get(name), "teacher") else ALONE


def complete(records: Records) -> list[str]:
    """Algorithms whose every run is there, best first."""
    found = [arm.name for arm in ARMS if len(records.by_arm.get(arm.name, {})) == arm.seeds]
    return sorted(found, key=lambda name: -records.mean(name, score).value)


def learned(records: Records) -> list[str]:
    """Algorithms whose interval of pass@1 lies above the base's score, sorted."""
    start = base(records)
    return sorted(name for name in complete(records) if records.mean(name, score).low > start)


def base(records: Records) -> float:
    """pass@1 of the untrained model."""
    return float(records.by_arm["base"][0]["scores"]["base"][TRAINED]["pass@1"][0])


def leaderboard(records: Records) -> str:
    """Markdown: a table for each kind, what failed to learn, what was not run."""
    there = complete(records)
    parts = [HEAD, f"The base has {100 * base(records):.1f}."]
    for heading, text in KINDS.items():
        rows = [_row(name, records) for name in there if kind(name) == heading]
        head = ["", "pass@1", "greedy", "KL", "tokens", "rate"]
        parts += [f"## {heading}", text, table(head, rows)] if rows else []
    return "\n\n".join([*parts, *_failed(records, there), *_absent(there)])


def _row(name: str, records: Records) -> list[str]:
    tokens = records.mean(name, lambda record: record["tokens"]).value
    return [
        f"[`{name}`](../algorithms/{name}.md)",
        cell(records.mean(name, score)),
        cell(records.mean(name, lambda record: score(record, "greedy"))),
        cell(records.mean(name, distance), 3, 1),
        f"{tokens:,.0f}",
        f"{chosen_rate(name, records):g}",
    ]


def chosen_rate(name: str, records: Records) -> float:
    """The learning rate that validated best."""
    tried = [
        records.values(f"tuning-{name}-{number}", lambda record: record["validated"])[0]
        for number in range(len(RATES))
    ]
    return RATES[tried.index(max(tried))]


def _failed(records: Records, there: Sequence[str]) -> list[str]:
    not_above = [name for name in sorted(there) if name not in learned(records)]
    lines = [f"- `{name}`: {REASONS.get(name, 'no reason found yet')}." for name in not_above]
    text = "Their interval of pass@1 does not lie above the base."
    return ["## What did not learn", text, "\n".join(lines)] if lines else []


def _absent(there: Sequence[str]) -> list[str]:
    lines = [
        f"- `{name}` reads {', '.join(f'`{column}`' for column in columns)}, which the local "
        "engine does not give."
        for name, columns in NOT_RUN.items()
    ]
    left = [arm.name for arm in ARMS if arm.name not in there]
    if left:
        lines.append(f"- Not finished yet: {', '.join(f'`{name}`' for name in left)}.")
    return ["## What was not run", "\n".join(lines)] if lines else []
