"""Faulty reward functions, and what has to be said of each."""

import os
import signal
from pathlib import Path

from jumar.tasks import Example, Task
from jumar.tasks.check import check
from jumar.verifiers import ScoringPool, VerifierSpec
from jumar.verifiers.score import Row

REWARDS = str(Path(__file__).with_name("rewards.py"))
Result = tuple[int, int, list[str]]

# function and response: (status, a part of the reason)
FAULTS = {
    ("raises", "x"): ("crashed", "the user's own bug"),
    ("obeys", "raise"): ("crashed", "as told"),
    ("obeys", "spin"): ("timed_out", "CPU budget"),
    ("obeys", "tower"): ("timed_out", "CPU budget"),
    ("obeys", "sleep"): ("timed_out", "wall-clock"),
    ("obeys", "eat"): ("crashed", "MemoryError"),
    ("obeys", "die"): ("crashed", "exit status 3"),
    ("obeys", "abort"): ("crashed", "SIGABRT"),
    ("exits", "x"): ("crashed", "SystemExit"),
    ("dies", "x"): ("crashed", "exit status 0"),
    ("gives_none", "x"): ("crashed", "NoneType"),
    ("trl_silent", "x"): ("crashed", "returned None"),
    ("gives_nan", "x"): ("crashed", "not a finite number"),
    ("gives_inf", "x"): ("crashed", "not a finite number"),
    ("gives_huge", "x"): ("crashed", "more than"),
    ("gives_text", "x"): ("crashed", "returned str"),
    ("gives_list", "x"): ("crashed", "returned list"),
    ("gives_dict_without_score", "x"): ("crashed", "without 'score'"),
    ("gives_odd_correct", "x"): ("crashed", "'correct' of type str"),
    ("trl_long", "x"): ("crashed", "2 values for 1 response"),
    ("trl_scalar", "x"): ("crashed", "not a list"),
    ("sees_metadata", "x"): ("crashed", "bonus"),
}
SPECIAL = ("killed", "negative zero", "changes its mind")


def function(name: str) -> VerifierSpec:
    return VerifierSpec("function", {"target": f"{REWARDS}:{name}"})


def told(fault: tuple[str, str] | str) -> Result:
    """What is wrong with how a fault is told; nothing where all is well."""
    if fault == "killed":
        problem = _killed()
    elif fault == "negative zero":
        problem = _negative_zero()
    elif fault == "changes its mind":
        problem = _changing()
    else:
        assert isinstance(fault, tuple)
        problem = _counted(*fault)
    return 1, int(not problem), [f"{fault}: {problem}"] if problem else []


def _counted(name: str, response: str) -> str:
    status, reason = FAULTS[name, response]
    wall = 1.0 if response == "sleep" else 30.0
    with ScoringPool(function(name), workers=1, cpu_seconds=0.3, wall_seconds=wall) as pool:
        first, second = pool.score([response, response], [Row("q", "7")] * 2)
        counts = pool.statistics()
    if (first.status, second.status) != (status, status) or counts[status] != 2:
        return f"was {first.status} and {second.status}, and counted {counts[status]} times"
    if first.correct or reason not in first.detail:
        return f"was told as {first.detail!r}"
    return ""


def _killed() -> str:
    with ScoringPool(function("obeys"), workers=1) as pool:
        os.kill(pool.worker_pids()[0], signal.SIGKILL)
        first, second = pool.score(["fine", "fine"], [Row("q", "7")] * 2)
    right = (first.status, second.status) == ("crashed", "right") and "SIGKILL" in first.detail
    return "" if right else f"was {first.status}, then {second.status}"


def _negative_zero() -> str:
    with ScoringPool(function("gives_negative_zero"), workers=1) as pool:
        (found,) = pool.score(["x"], [Row("q", "7")])
    return "" if str(found.score) == "0.0" else f"was {found.score}"


def _changing() -> str:
    rows = [Example(prompt=f"q{at}", answer="7") for at in range(4)]
    name = "a task whose reward changes"
    task = Task(
        name=name, train=[], validation=[], test=rows, verifier=function("changes_its_mind")
    )
    found = check(task, workers=1)
    return "" if found.unstable and not found.passed else "was not noticed"
