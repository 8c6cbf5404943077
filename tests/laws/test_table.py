"""The table of algorithms and laws, from what the tests of this folder found."""

from jumar import algorithms

from . import test_laws, test_learning
from .worlds import LAWS, RESULTS, SUBJECTS

assert test_laws, test_learning  # importing them fills LAWS, whichever file is run


def table() -> str:
    """Laws down, subjects across: x holds, - another formula's law, ! broken."""
    mark = {"holds": "x", "-": "-", "broken": "!"}
    lines = []
    for law in sorted(LAWS):
        cells = " ".join(mark[RESULTS[law, subject]] for subject in SUBJECTS)
        lines.append(f"{law:<68} {cells}")
    return "\n".join([*(f"{i + 1:>2} {s}" for i, s in enumerate(SUBJECTS)), "", *lines])


def test_every_algorithm_keeps_every_law_and_none_is_exempt() -> None:
    for law, run in LAWS.items():
        for subject in SUBJECTS:
            if (law, subject) not in RESULTS:  # this file alone, or another worker had it
                run(subject)
    assert set(algorithms.names()) <= set(SUBJECTS)
    assert RESULTS.keys() == {(law, subject) for law in LAWS for subject in SUBJECTS}
    assert set(RESULTS.values()) <= {"holds", "-"}
    print(table())


def test_a_law_that_is_not_for_all_belongs_to_a_declared_trait() -> None:
    partial = {(law, subject) for (law, subject), cell in RESULTS.items() if cell == "-"}
    for law, subject in partial:
        declared = {trait.replace("_", " ") for trait in SUBJECTS[subject].traits}
        assert law.startswith(("group centred", "policy gradient", "per response"))
        assert not any(law.startswith(trait) for trait in declared)
