"""A second opinion from the math-verify package: reported beside our score, never in its place.

Only its LaTeX reader is used. Its plain-expression reader hands model text to sympy's `parse_expr`,
which runs code; and its alarm-based time limits are off, because the worker's CPU budget ends it.
"""

import logging
from importlib.util import find_spec

from jumar.errors import ConfigurationError

_MAX_CHARS = 2_000


def require() -> None:
    """Raise a ConfigurationError unless math-verify is installed."""
    if find_spec("math_verify") is None:
        raise ConfigurationError(
            "The second opinion needs the package math-verify, which is not installed, to compare "
            "its verdicts with ours. Install jumar[math], or leave second_opinion out."
        )


def opinion(extracted: str, gold: str) -> bool | None:
    """Whether math-verify takes `extracted` for `gold`; None where it cannot read one of them."""
    from math_verify import LatexExtractionConfig, parse, verify

    logging.getLogger("math_verify").setLevel(logging.CRITICAL)
    if len(extracted) > _MAX_CHARS or len(gold) > _MAX_CHARS:
        return None
    readers = [LatexExtractionConfig(boxed_match_priority=0)]
    parsed = [
        parse(f"$\\boxed{{{text}}}$", extraction_config=readers, parsing_timeout=None,
              raise_on_error=False)
        for text in (gold, extracted)
    ]  # fmt: skip
    if not all(parsed):
        return None
    return bool(verify(parsed[0], parsed[1], timeout_seconds=None, raise_on_error=False))
