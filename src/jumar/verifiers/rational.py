r"""Exact numbers from untrusted text: one number or nothing, never an evaluation.

    sign? ( integer | decimal | a/b | \frac{a}{b} | mixed ) unit? percent?

Thousands may be grouped by commas. Products, powers, equations, lists and ranges are no numbers:
`19*53`, `2^3`, `6=7`, `6 or 7` are refused, so nothing can be left for the verifier to work out.
Digits and depth are bounded and every step is one pass, so hostile text is refused quickly.
"""

import re
from dataclasses import dataclass
from fractions import Fraction

MAX_TEXT = 1_000  # characters
MAX_DIGITS = 200  # per integer; Python's own int() limit is 4300
MAX_DEPTH = 4  # nested fractions

MINUS = "\u2212\u2013\u2010\u2011\ufe63\uff0d"  # minus, en dash, hyphens, small and full-width
_SPACES = "\u00a0\u2009\u202f\u2007\u3000"
_TO_ASCII = str.maketrans({**dict.fromkeys(MINUS, "-"), **dict.fromkeys(_SPACES, " ")})
_INTEGER = r"(?:[1-9][0-9]{0,2}(?:,[0-9]{3})+(?![0-9])|[0-9]+)"
_DECIMAL = re.compile(rf"({_INTEGER})(?:\.([0-9]*))?|\.([0-9]+)")
_SIGN = re.compile(r"\s*([-+]?)\s*")
_FRAC = re.compile(r"\\[dtc]?frac\s*")
_SLASH = re.compile(r"\s*/\s*")
_UNIT = re.compile(
    r"(?:dollars?|usd|cents?|euros?|pounds?|rupees?|yen|pesos?|"
    r"seconds?|secs?|minutes?|mins?|hours?|hrs?|days?|weeks?|months?|years?|yrs?|"
    r"mm|cm|dm|m|km|in|inch|inches|ft|foot|feet|yards?|yd|miles?|mi|"
    r"millimet(?:er|re)s?|centimet(?:er|re)s?|met(?:er|re)s?|kilomet(?:er|re)s?|"
    r"mg|g|kg|grams?|kilograms?|ounces?|oz|lbs?|tons?|"
    r"ml|l|lit(?:er|re)s?|milliliters?|gallons?|quarts?|pints?|cups?|"
    r"degrees?|units?|points?|people|persons?|students?|children|times|ways|items?|pieces?|"
    r"mph|km/h|m/s|square|cubic)",
    re.IGNORECASE,
)
_TEXT_UNIT = re.compile(r"\\(?:text|textrm|mathrm|textbf|mathbf|mbox|hbox)\s*\{([^{}]*)\}")
_POWER_OF_UNIT = re.compile(r"(?:\^\s*(?:\{[23]\}|[23])|\u00b2|\u00b3)")


@dataclass(frozen=True, slots=True)
class Number:
    """An exact value, and whether it was written with a percent sign: 50% is neither 50 nor 0.5."""

    value: Fraction
    percent: bool = False


def number(text: str) -> Number | None:
    """The one number that `text` is; None where it is anything else."""
    if len(text) > MAX_TEXT:
        return None
    text = _plain(text)
    value, rest = _signed(text, MAX_DEPTH)
    if value is None:
        return None
    rest = rest.strip()
    percent = rest.startswith("%")
    rest = _without_unit(rest[1:] if percent else rest)
    return None if rest else Number(value, percent)


def same_number(answer: str, gold: str) -> bool:
    """Both are numbers and equal, exactly; percent signs must match."""
    left, right = number(answer), number(gold)
    return left is not None and left == right


def as_text(value: Number) -> str:
    """The value as text that `number` reads back to the same value."""
    fraction = value.value
    sign = "-" if fraction < 0 else ""
    body = f"{abs(fraction.numerator)}"
    if fraction.denominator != 1:
        body = f"{body}/{fraction.denominator}"
    return f"{sign}{body}{'%' if value.percent else ''}"


def _plain(text: str) -> str:
    """Without mathematics delimiters, dollars, LaTeX spacing, bold marks and a final full stop."""
    text = text.translate(_TO_ASCII).strip()
    for mark in ("\\left", "\\right", "\\displaystyle", "\\!", "\\(", "\\)", "\\[", "\\]"):
        text = text.replace(mark, "")
    text = text.replace("{,}", ",").replace("\\%", "%").replace("~", " ")
    text = re.sub(r"(?<=[0-9])\\,(?=[0-9]{3}(?![0-9]))", ",", text)
    for space in ("\\,", "\\;", "\\:", "\\ ", "\\quad"):
        text = text.replace(space, " ")
    text = text.replace("\\$", "$").strip()
    for mark in ("**", "$$", "$"):
        if text.startswith(mark) and text.endswith(mark) and len(text) > 2 * len(mark):
            text = text[len(mark) : -len(mark)].strip()
    if text.endswith("$") and text.count("$") == 1:
        text = text[:-1]  # 18$ is written by some
    text = text.strip()
    for _ in range(MAX_DEPTH):
        text = _unwrapped(text)
    return re.sub(r"(?<=[0-9%}A-Za-z])\.$", "", text)


def _unwrapped(text: str) -> str:
    r"""Without one layer of braces, of brackets (unless they hold a comma) or of \text{...}."""
    text = text.strip()
    if wrapped := _TEXT_UNIT.fullmatch(text):
        return wrapped.group(1).strip()
    if text[:1] + text[-1:] in ("{}", "()") and not ("(" in text and "," in text):
        inside = text[1:-1]
        return inside.strip() if not set(inside) & set("()") else text
    return text


def _signed(text: str, depth: int) -> tuple[Fraction | None, str]:
    """The number at the start of `text` and what follows it."""
    match = _SIGN.match(text)
    assert match is not None
    rest = text[match.end() :]
    if rest.startswith("$"):
        rest = rest[1:].lstrip()
        if not match.group(1) and rest.startswith("-"):  # $-5
            value, rest = _unsigned(rest[1:].lstrip(), depth)
            return (None if value is None else -value), rest
    value, rest = _unsigned(rest, depth)
    if value is not None and match.group(1) == "-":
        value = -value
    return value, rest


def _unsigned(text: str, depth: int) -> tuple[Fraction | None, str]:
    if _FRAC.match(text):
        return _frac(text, depth)
    whole, rest, is_integer = _decimal(text)
    if whole is None:
        return None, text
    if slash := _SLASH.match(rest):
        below, rest, _ = _decimal(rest[slash.end() :])
        return (whole / below if below else None), rest
    return _mixed(whole, rest, depth) if is_integer else (whole, rest)


def _mixed(whole: Fraction, rest: str, depth: int) -> tuple[Fraction | None, str]:
    r"""2 1/3 and 2\frac{1}{3}; a fraction part of 1 or more makes it a list or a product."""
    after = rest.lstrip()
    if _FRAC.match(after):
        part, after = _frac(after, depth)
        return (whole + part if part is not None and 0 <= part < 1 else None), after
    if after is rest or not after[:1].isdigit():
        return whole, rest
    above, tail, is_integer = _decimal(after)
    slash = _SLASH.match(tail)
    if above is None or not is_integer or not slash:
        return None, rest
    below, tail, is_integer = _decimal(tail[slash.end() :])
    if not below or not is_integer or above >= below:
        return None, rest
    return whole + above / below, tail


def _decimal(text: str) -> tuple[Fraction | None, str, bool]:
    """The decimal at the start of `text`, what follows, and whether it is a whole number."""
    match = _DECIMAL.match(text)
    if not match:
        return None, text, False
    whole = (match.group(1) or "").replace(",", "")
    part = match.group(2) or match.group(3) or ""
    if len(whole) > MAX_DIGITS or len(part) > MAX_DIGITS:
        return None, text, False
    value = Fraction(int(whole + part or "0"), 10 ** len(part))
    return value, text[match.end() :], match.group(2) is None and match.group(3) is None


def _frac(text: str, depth: int) -> tuple[Fraction | None, str]:
    r"""\frac{a}{b}, \frac12 and the like."""
    match = _FRAC.match(text)
    if not match or depth == 0:
        return None, text
    above, rest = _argument(text[match.end() :], depth - 1)
    below, rest = _argument(rest.lstrip(), depth - 1)
    return (above / below if above is not None and below else None), rest


def _argument(text: str, depth: int) -> tuple[Fraction | None, str]:
    if text[:1].isdigit() and text[:1].isascii():
        return Fraction(int(text[0])), text[1:]
    if not text.startswith("{"):
        return None, text
    value, rest = _signed(text[1:], depth)
    rest = rest.lstrip()
    return (value, rest[1:]) if rest.startswith("}") else (None, text)


def _without_unit(rest: str) -> str:
    """What is left after known units, their powers and a degree sign; "" means nothing else."""
    rest = rest.replace("^{\\circ}", "").replace("^\\circ", "").replace("\u00b0", "")
    if _TEXT_UNIT.search(rest):
        rest = _TEXT_UNIT.sub(r"\1", rest)
    for _ in range(3):
        rest = rest.strip()
        unit = _UNIT.match(rest)
        if not unit or rest[unit.end() : unit.end() + 1].isalnum():
            break
        rest = _POWER_OF_UNIT.sub("", rest[unit.end() :], count=1)
    return rest.strip().removesuffix(".")
