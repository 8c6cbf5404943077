"""Expanded polynomials from untrusted text, as {monomial: coefficient}; nothing is multiplied out.

    -34*x**8/15 - 5*x/4 + C        {((x, 8),): -34/15, ((x, 1),): -5/4, ((C, 1),): 1}

Products of brackets are refused: they would let an answer repeat the question.
"""

import re
from collections import Counter
from fractions import Fraction

Monomial = tuple[tuple[str, int], ...]
Polynomial = dict[Monomial, Fraction]

MAX_TEXT = 4_000  # characters
MAX_TERMS = 500
MAX_EXPONENT = 1_000
_SIGN = re.compile(r"\s*([-+]?)\s*")
_FACTOR = re.compile(r"\s*(?:([0-9]{1,40})|([A-Za-z](?:_?[0-9]{1,3})?))(?![0-9A-Za-z_.])")
_POWER = re.compile(
    r"\s*(?:\*\*|\^)\s*(?:\(\s*(-?[0-9]{1,4})\s*\)|(-?[0-9]{1,4}))(?![0-9A-Za-z_.])"
)
_JOIN = re.compile(r"\s*(\*(?!\*)|/)")


class NotPolynomialError(ValueError):
    """The text is no sum of monomials."""


def polynomial(text: str) -> Polynomial:
    """The terms of `text`, like terms added, zeros dropped; raises NotPolynomialError."""
    if len(text) > MAX_TEXT:
        raise NotPolynomialError("too long")
    text, at, terms = text.strip(), 0, 0
    result: Polynomial = {}
    while at < len(text) or terms == 0:
        sign = _SIGN.match(text, at)
        assert sign is not None
        if terms == MAX_TERMS or (terms and not sign.group(1)):
            raise NotPolynomialError("a sign was expected, or too many terms")
        monomial, coefficient, at = _term(text, sign.end())
        signed = -coefficient if sign.group(1) == "-" else coefficient
        result[monomial] = result.get(monomial, Fraction(0)) + signed
        terms += 1
    return {monomial: c for monomial, c in result.items() if c}


def derivative(terms: Polynomial, variable: str) -> Polynomial:
    """d/d`variable`, term by term."""
    result: Polynomial = {}
    for monomial, coefficient in terms.items():
        powers = Counter(dict(monomial))
        exponent = powers[variable]
        if exponent:
            powers[variable] -= 1
            lowered = _monomial(powers)
            result[lowered] = result.get(lowered, Fraction(0)) + coefficient * exponent
    return {monomial: c for monomial, c in result.items() if c}


def _term(text: str, at: int) -> tuple[Monomial, Fraction, int]:
    """(monomial, coefficient, where it ends) of factors joined by `*` and `/`."""
    coefficient, powers = Fraction(1), Counter[str]()
    operator = "*"
    while True:
        factor = _FACTOR.match(text, at)
        if not factor:
            raise NotPolynomialError("a number or a variable was expected")
        at, exponent = factor.end(), 1
        if power := _POWER.match(text, at):
            at, exponent = power.end(), int(power.group(1) or power.group(2))
        exponent = exponent if operator == "*" else -exponent
        if factor.group(1):
            coefficient *= _number_power(int(factor.group(1)), exponent)
        else:
            powers[factor.group(2)] += exponent
        if any(abs(e) > MAX_EXPONENT for e in powers.values()) or _digits(coefficient) > 2_000:
            raise NotPolynomialError("an exponent or a coefficient is out of bounds")
        join = _JOIN.match(text, at)
        if not join:
            return _monomial(powers), coefficient, at
        operator, at = join.group(1), join.end()


def _number_power(number: int, exponent: int) -> Fraction:
    if exponent not in (1, -1):
        raise NotPolynomialError("powers of numbers are not worked out")
    if number == 0 and exponent < 0:
        raise NotPolynomialError("division by zero")
    return Fraction(number) ** exponent


def _digits(value: Fraction) -> int:
    return max(value.numerator.bit_length(), value.denominator.bit_length())


def _monomial(powers: "Counter[str]") -> Monomial:
    return tuple(sorted((name, e) for name, e in powers.items() if e))
