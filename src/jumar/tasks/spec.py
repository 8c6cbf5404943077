"""Task specs as text: `head?key=value&key=value`."""

from collections.abc import Iterable, Mapping
from urllib.parse import quote, unquote

from jumar.errors import ConfigurationError, nearest


def parsed(spec: str) -> tuple[str, dict[str, str]]:
    """(head, options) of a spec; `%26` and the like stand for reserved characters."""
    head, mark, query = spec.partition("?")
    options: dict[str, str] = {}
    for part in query.split("&") if mark and query else []:
        key, equals, value = part.partition("=")
        if not equals or not key:
            raise ConfigurationError(
                f"The task {spec!r} has the option {part!r}, and it needs key=value, to be read. "
                "Write ?key=value&key=value."
            )
        if key in options:
            raise ConfigurationError(
                f"The task {spec!r} gives {key!r} twice, and it needs one value, to be clear. "
                "Keep one."
            )
        options[unquote(key)] = unquote(value)
    return unquote(head), options


def canonical(head: str, options: Mapping[str, str]) -> str:
    """The one way to write a spec: options sorted by name."""
    if not options:
        return head
    safe = "/:,.[]()\"'+-* "
    pairs = (f"{quote(k, safe)}={quote(v, safe)}" for k, v in sorted(options.items()))
    return f"{head}?{'&'.join(pairs)}"


def refuse_unknown(spec: str, options: Iterable[str], known: Iterable[str]) -> None:
    """Raise a ConfigurationError for the first option that `known` lacks."""
    known = list(known)
    for key in options:
        if key not in known:
            raise ConfigurationError(
                f"The task {spec!r} has no option {key!r}, and it needs options that "
                "it knows, to mean something. "
                f"{nearest(key, known)} "
                f"Valid options: {', '.join(sorted(known))}."
            )
