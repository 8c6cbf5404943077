"""What jumar raises. Each class is also a standard one, so `except ValueError` keeps working.

    JumarError
    ├── ConfigurationError (ValueError)    a recipe, an option or a combination of parts
    ├── MissingColumnError (KeyError)      a piece reads a column that nobody provides
    ├── ShapeError         (ValueError)    a tensor of another shape or kind than the table says
    ├── DataError          (ValueError)    a file, a row, a model directory
    └── EngineError        (RuntimeError)  a run that cannot go on
        └── SynchronisationError           a sampler that has other weights than the trainer

Every message has four parts: who, what it needs, why, what to do.
"""

import difflib
from collections.abc import Iterable


class JumarError(Exception):
    """Every error that a user can cause or mend."""

    def __str__(self) -> str:
        """The message itself: KeyError would print its repr."""
        return str(self.args[0]) if self.args else ""


class ConfigurationError(JumarError, ValueError):
    """A recipe, an option or a combination of parts that cannot run."""


class MissingColumnError(JumarError, KeyError):
    """A piece reads a column that nobody provides."""


class ShapeError(JumarError, ValueError):
    """A tensor of another shape or kind than the table of columns says."""


class DataError(JumarError, ValueError):
    """A file, a row or a model directory that cannot be used."""


class EngineError(JumarError, RuntimeError):
    """A run that cannot go on."""


class SynchronisationError(EngineError):
    """A sampler that has other weights than the trainer."""


def nearest(name: str, names: Iterable[str]) -> str:
    """Up to three names as "Did you mean ...?", or the start of the list."""
    names = sorted(names)
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    close = close or [other for other in names if name and name in other][:3]
    if close:
        return f"Did you mean {' or '.join(close)}?"
    if not names:
        return "There are none."
    return f"There are: {', '.join(names[:12])}{', ...' if len(names) > 12 else ''}."
