"""Steps of GRPO by both, turn by turn: TRL with the fastest of its settings that were tried."""

from dataclasses import asdict
from functools import partial
from statistics import median
from typing import Any

from speed import agreement, ours, theirs
from speed.cases import Case
from speed.sides import Numbers, Training, alternated, started
from speed.work import Work

TRIED = 1  # turn of each setting, after its first


def settings(work: Work) -> dict[str, dict[str, Any]]:
    """What is tried of TRL's, by the words for it on the page; the first is its usual setting."""
    return {
        "all rows in one pass": {},
        "four passes": _in_parts(work, 4),
        "sixteen passes": _in_parts(work, 16),
        "all rows in one pass, gradient checkpointing (TRL's default)": {
            "gradient_checkpointing": True
        },
    }


def _in_parts(work: Work, count: int) -> dict[str, Any]:
    return {
        "per_device_train_batch_size": work.rows // count,
        "gradient_accumulation_steps": count,
    }


def measured(case: Case, quick: bool) -> dict[str, Any]:
    """What is kept of a case: seconds of every turn, and what was tried."""
    work, pairs = (case.work.small(), 1) if quick else (case.work, case.pairs)
    with started({"both losses": partial(agreement.of_grpo, work)}) as sides:
        agreed = agreement.checked(sides["both losses"].first)
    tried = _tried(work)
    chosen = min(tried, key=lambda name: median(tried[name]))
    with started({"jumar": partial(ours.grpo, work), "TRL": _theirs(work, chosen)}) as sides:
        turns = alternated(sides, pairs)
    for side in turns.values():
        _check(work, side, first=2)
    return {
        "work": asdict(work),
        "agreement": agreed,
        "tried": tried,
        "chosen": chosen,
        "turns": turns,
    }


def _tried(work: Work) -> dict[str, list[float]]:
    """Seconds of TRL's steps by setting, taken in turn as well."""
    with started({name: _theirs(work, name) for name in settings(work)}) as sides:
        turns = alternated(sides, TRIED)
    return {name: [turn["step"] for turn in side] for name, side in turns.items()}


def _theirs(work: Work, name: str) -> Training:
    return partial(theirs.grpo, work, **settings(work)[name])


def _check(work: Work, turns: list[Numbers], *, first: int) -> None:
    """Both did the work, to the token."""
    for step, turn in enumerate(turns, start=first):
        assert turn["tokens"] == work.tokens(step), (step, turn, work.tokens(step))
