"""A paper's comparison, run on work that fits on a desk: its table, ours beside it, and verdicts.

What is run and how each claim is judged is fixed in a study (`a_star_po/` and so on) before
anything is run; the folder is the registry.
"""

from importlib import import_module
from pathlib import Path

from jumar.errors import ConfigurationError, nearest
from jumar.reproduce.study import Study


def names() -> list[str]:
    """Every study, sorted."""
    return sorted(path.parent.name for path in Path(__file__).parent.glob("*/__init__.py"))


def get(name: str) -> Study:
    """The study of a paper."""
    if name not in names():
        raise ConfigurationError(
            f"There is no study of `{name}`, and `jumar reproduce` needs one, to know what is run "
            f"and judged. {nearest(name, names())}"
        )
    study: Study = import_module(f"jumar.reproduce.{name}").STUDY
    return study
