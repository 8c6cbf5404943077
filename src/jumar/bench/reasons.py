"""Why an algorithm did not learn in the bench, as far as it was found: written by hand."""

from collections.abc import Mapping

REASONS: Mapping[str, str] = {}
