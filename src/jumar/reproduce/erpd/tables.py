"""The paper's table beside ours, then the variants."""

from jumar.reproduce.erpd.arms import TEACHERS, TRAINED, VARIANTS
from jumar.reproduce.erpd.claims import kl, longer, seconds, student, teacher
from jumar.reproduce.study import Records, cell, table

# averages over five benchmarks: Qwen3-4B teacher, student; NBG4-3B teacher, student
PAPER = {
    "ppo": ("68.1", "", "73.9", ""),
    "grpo": ("69.0", "69.2", "73.6", "73.5"),
    "sapo": ("69.9", "70.6", "76.2", "77.5"),
    "ce": ("72.9", "73.3", "76.7", "77.7"),
    "mse": ("36.4", "71.1", "37.1", "74.9"),
}


def tables(records: Records) -> str:
    """Markdown."""
    return f"{_main(records)}\n\n{_variants(records)}"


def _main(records: Records) -> str:
    heading = [
        "teacher", "Qwen3-4B", "+ distillation", "NBG4-3B", "+ distillation",
        "ours: teacher", "student", "KL of teacher", "KL of student",
    ]  # fmt: skip
    start = records.by_arm["base"][0]["scores"]["base"][TRAINED]["pass@1"][0]
    rows = [["base", "68.5", "", "72.5", "", f"{100 * start:.1f}", "", "", ""]]
    for name, (title, _, _) in TEACHERS.items():
        rows.append(
            [
                title,
                *PAPER[name],
                cell(records.mean(name, teacher)),
                cell(records.mean(name, student)),
                cell(records.mean(name, kl("teacher")), 3, 1),
                cell(records.mean(name, kl("last")), 3, 1),
            ]
        )
    note = (
        "On the left the paper's averages. Ours are means of test pass@1 over five seeds with 95 % "
        "intervals (Student's t over seeds), and KL to the base in nats per token. PPO is VAPO's, "
        "without its imitation term."
    )
    return f"## The table\n\n{note}\n\n{table(heading, rows)}"


def _variants(records: Records) -> str:
    heading = ["", "pass@1", "KL", "longer sums", "seconds"]
    rows = []
    for name, (title, _, _) in VARIANTS.items():
        rows.append(
            [
                title,
                cell(records.mean(name, student)),
                cell(records.mean(name, kl("last")), 3, 1),
                cell(records.mean(name, longer)),
                f"{records.mean(name, seconds).value:.0f}",
            ]
        )
    note = "Three seeds each. Seconds are of sampling, fits and steps, two runs at a time."
    return f"## Variants\n\n{note}\n\n{table(heading, rows)}"
