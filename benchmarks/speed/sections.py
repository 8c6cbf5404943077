"""The parts of the page beside steps of GRPO: memory, A*-PO, growth, where the time goes."""

from typing import Any

from speed.cases import A_STAR_PO, PROFILED
from speed.fits import exponent, last_exponent
from speed.page_parts import agreement, provenance, spread, table, tried
from speed.ratios import Ratio, ratio


def memory(record: dict[str, Any]) -> list[str]:
    """Peak bytes of three ways through one loss."""
    work, ways = record["work"], record["ways"]
    tokens = work["prompts"] * work["responses"] * work["response_tokens"]
    plain = ways["plain"]["bytes"]
    rows = [
        [name, _gigabytes(way["bytes"]), f"{way['bytes'] / plain:.2f}", f"{way['seconds']:.1f}"]
        for name, way in ways.items()
    ]
    return [
        f"## memory: a vocabulary of {work['vocabulary']:,}",
        f"The loss and its backward on {tokens:,} tokens, behind one layer of {work['hidden']}, "
        "each in a process of its own: the most that the process holds from the rollout to the "
        "optimiser's step, beyond what it holds before. `plain` makes all logits at once. The "
        f"gradient of the head alone, which all have, is {_gigabytes(record['head_gradient'])} GB. "
        "Wanted: at most a quarter of plain, and less than TRL.",
        table(["", "peak, GB", "of plain", "s"], rows),
        provenance(record),
    ]


def a_star_po(record: dict[str, Any]) -> list[str]:
    """Whole runs, anew and again."""
    rows = []
    for what, suffix in (("a first run", ""), ("a second run, or one that was killed", " again")):
        both = [spread(_seconds(record, side + suffix)) for side in ("jumar", "TRL")]
        rows.append([what, *both, str(of_runs(record, suffix))])
    return [
        f"## a_star_po: {A_STAR_PO.title}",
        "From the first sample of V* to the last step, against TRL's experimental A2POTrainer. V* "
        "stays on disk in jumar, so a second run begins with the steps; TRL keeps it in memory and "
        f"samples it again. Wanted: {A_STAR_PO.wanted:g} for a first run.",
        table(["", "jumar, s", "TRL, s", "ratio"], rows),
        tried(record),
        agreement(record),
        provenance(record, f"{len(record['turns']['jumar'])} pairs; "),
    ]


def of_runs(record: dict[str, Any], suffix: str) -> Ratio:
    """TRL's seconds over ours, of first runs ("") or of those " again"."""
    return ratio(_seconds(record, "jumar" + suffix), _seconds(record, "TRL" + suffix))


def _seconds(record: dict[str, Any], name: str) -> list[float]:
    return [turn["step"] for turn in record["turns"][name]]


def growth(record: dict[str, Any]) -> list[str]:
    """Exponents, and the plot of them."""
    header = ["", "from, to", "step: jumar", "step: TRL", "memory: jumar", "memory: TRL"]
    rows = []
    for name, axis in record["axes"].items():
        xs = axis["x"]
        fits = [
            f"{exponent(xs, axis[side][what]):.2f} ({last_exponent(xs, axis[side][what]):.2f})"
            for what in ("step", "peak")
            for side in ("jumar", "TRL")
        ]
        rows.append([name, f"{xs[0]:,}, {xs[-1]:,}", *fits])
    base = record["base"]
    return [
        "## growth: what a larger step costs",
        "Fitted exponents: twice as much of the thing costs 2 to that power as much; in brackets, "
        "between the two largest sizes alone, where what a step costs anyway weighs least. Memory "
        "is the most that the process holds during a step beyond its imports. TRL has its usual "
        "setting here, all rows in one pass; with two steps of each, the second digit is noise. "
        "Everything else is "
        f"as in a step of {base['prompts']} prompts of {base['prompt_tokens']} tokens x "
        f"{base['responses']} responses of {base['response_tokens']}, a vocabulary of "
        f"{base['vocabulary']:,}, {base['layers']} layers of {base['hidden']}.",
        table(header, rows),
        "![Step time and memory against each of them](performance.png)",
        provenance(record, f"Median of {record['turns']} steps of each; "),
    ]


def profile(record: dict[str, Any]) -> list[str]:
    """Shares of a step of ours."""
    found = ["## profile: where the time of a step goes"]
    for name in PROFILED:
        case = record["cases"][name]
        step, parts = case["step"], sorted(case["parts"].items(), key=lambda part: -part[1])
        rest = ("everything else", step - sum(case["parts"].values()))
        rows = [
            [part, f"{seconds:.3f}", f"{100 * seconds / step:.1f} %"]
            for part, seconds in (*parts, rest, ("the whole step", step))
        ]
        found.append(table([name, "s", "share"], rows))
    return [*found, provenance(record)]


def _gigabytes(number: float) -> str:
    return f"{number / 1e9:.2f}"
