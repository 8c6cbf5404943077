"""Sentences and small tables that several parts of the page have."""

from collections.abc import Sequence
from statistics import median
from typing import Any

from speed.ratios import Ratio, ratio

PARTS = {
    "step": "whole step",
    "rollout": "sampling and scoring",
    "training": "training alone",
}


def seconds(record: dict[str, Any], side: str, part: str) -> list[float]:
    """Of each turn: the whole step, its rollout, or the rest, which is training."""
    turns = record["turns"][side]
    if part == "training":
        return [turn["step"] - turn["rollout"] for turn in turns]
    return [turn[part] for turn in turns]


def of(record: dict[str, Any], part: str) -> Ratio:
    """TRL's seconds over ours."""
    return ratio(seconds(record, "jumar", part), seconds(record, "TRL", part))


def spread(values: Sequence[float]) -> str:
    """The median, and the ends."""
    return f"{median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """In Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def tried(record: dict[str, Any]) -> str:
    """Settings of TRL's with their seconds; the one that was taken is bold."""
    rows = [
        [f"**{name}**" if name == record["chosen"] else name, f"{median(values):.2f}"]
        for name, values in record["tried"].items()
    ]
    return table(["settings of TRL that were tried", "s"], rows)


def agreement(record: dict[str, Any]) -> str:
    """How far apart both losses are."""
    agreed = record["agreement"]
    return (
        f"On one rollout the losses are {agreed['ours']:z.7f} and {agreed['theirs']:z.7f}, and the "
        f"gradients differ by {agreed['gradient']:.1e} of the largest entry."
    )


def provenance(record: dict[str, Any], before: str = "") -> str:
    """Where it was measured, and with what."""
    made = record["made"]
    versions = ", ".join(f"{n} {made[n]}" for n in ("torch", "transformers", "trl", "accelerate"))
    return (
        f"{before}commit {made['commit']}; Python {made['python']}, {versions}; {made['machine']}; "
        "two threads, no GPU."
    )
