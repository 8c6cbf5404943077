"""The paper's table beside ours; then everything on the weak reference."""

import math

from jumar.reproduce.owpo.arms import TITLES, TRAINED, VARIANTS
from jumar.reproduce.owpo.claims import TRANSFER, against_verdict, peak_stage, score, tokens
from jumar.reproduce.runs import FOUNDATION_SEED
from jumar.reproduce.study import Records, cell, table

# Qwen2.5-Math-7B, averages of AIME24, AIME25, AMC: best, converged, pass@16 at the best
PAPER = {
    "grpo": ("37.08", "35.75", "52.01"),
    "dapo": ("40.56", "42.83 / 42.34", "59.40"),
    "sym_dapo": ("39.54", "40.01", "56.17"),
    "opd": ("40.64", "40.38", "57.32"),
    "mopd": ("41.11", "39.03", "60.34"),
    "owpo": ("43.91", "44.12", "57.48"),
}


def tables(records: Records) -> str:
    """Markdown."""
    return f"{_main(records)}\n\n{_weak(records)}"


def _main(records: Records) -> str:
    heading = [
        "", "paper: best", "converged", "pass@16",
        "ours: best", "last", "pass@16", "four terms", "tokens, k", "against the verdict",
    ]  # fmt: skip
    base = records.by_arm["base"][0]["scores"]["base"]
    rows = [_fixed("base", base)]
    for name, title in (("reference", "reference (DAPO)"), ("weak", "weak reference (DAPO)")):
        at = "best" if name == "reference" else "last"
        rows.append(_fixed(title, records.by_arm[name][FOUNDATION_SEED]["scores"][at]))
    for name, title in TITLES.items():
        rows.append(
            [
                title,
                *PAPER[name],
                *_scores(records, name),
                f"{records.mean(name, tokens).value / 1000:.0f}",
                _share(records.mean(name, against_verdict).value),
            ]
        )
    note = (
        "On the left the paper's averages for Qwen2.5-Math-7B (its tables give two numbers for "
        "DAPO's converged average). Ours are means over five seeds with 95 % intervals (Student's "
        "t over seeds), pass@1 unless said otherwise, at the checkpoint that validated best or the "
        "last. Against the verdict: the share of tokens with an advantage that the loss moves the "
        "other way; OPD has no verdict."
    )
    return f"## The table\n\n{note}\n\n{table(heading, rows)}"


def _scores(records: Records, arm: str) -> list[str]:
    """Best, last, pass@16, and the task that was not trained on."""
    metrics = (score(), score(at="last"), score("pass@16"), score(task=TRANSFER))
    return [cell(records.mean(arm, metric)) for metric in metrics]


def _share(value: float) -> str:
    return "-" if math.isnan(value) else f"{100 * value:.2f} %"


def _fixed(title: str, scores: dict[str, dict[str, list[float]]]) -> list[str]:
    shown = [
        scores[TRAINED]["pass@1"][0],
        scores[TRAINED]["pass@16"][0],
        scores[TRANSFER]["pass@1"][0],
    ]
    best, sixteen, transfer = (f"{100 * value:.1f}" for value in shown)
    return [title, "", "", "", best, "", sixteen, transfer, "", ""]


def _weak(records: Records) -> str:
    heading = ["", "best", "last", "pass@16", "four terms", "stage of saturation"]
    rows = []
    for name, (title, recipe) in VARIANTS.items():
        staged = recipe["program"]["name"] == "ratchet"
        rows.append(
            [
                title,
                *_scores(records, name),
                cell(records.mean(name, peak_stage), 1, 1) if staged else "",
            ]
        )
    note = (
        "From the base against the weak reference, three seeds: the ablations, OWPO's knobs one at "
        "a time around the defaults, and iterations that swap to each stage's best checkpoint."
    )
    return f"## On the weak reference\n\n{note}\n\n{table(heading, rows)}"
