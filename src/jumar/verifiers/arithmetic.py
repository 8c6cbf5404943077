"""Bounded arithmetic on untrusted text: `+ - * / ( )` over integers, exactly.

    sum    := term (("+" | "-") term)*
    term   := factor (("*" | "/") factor)*
    factor := "-" factor | integer | "(" sum ")"

There are no powers and no names, digits, tokens and depth are bounded; so the value of an
expression is never much longer than its text.
"""

import re
from fractions import Fraction

MAX_TEXT = 2_000  # characters
MAX_TOKENS = 400
MAX_DEPTH = 50
_TOKEN = re.compile(r"\s*(?:([0-9]{1,20})(?![0-9A-Za-z_.])|([-+*/()]))")


class NotArithmeticError(ValueError):
    """The text is no expression of this grammar."""


def value(text: str) -> tuple[Fraction, list[int]]:
    """(exact value, integers in the order written); raises NotArithmeticError."""
    reader = _Reader(_tokens(text))
    result = reader.sum(MAX_DEPTH)
    if reader.at != len(reader.tokens):
        raise NotArithmeticError("trailing text")
    return result, [int(token) for token in reader.tokens if token.isdigit()]


def _tokens(text: str) -> list[str]:
    if len(text) > MAX_TEXT:
        raise NotArithmeticError("too long")
    tokens: list[str] = []
    text, at = text.strip(), 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if not match or len(tokens) == MAX_TOKENS:
            raise NotArithmeticError("a character outside the grammar, or too many tokens")
        tokens.append(match.group(1) or match.group(2))
        at = match.end()
    return tokens


class _Reader:
    def __init__(self, tokens: list[str]) -> None:
        self.tokens, self.at = tokens, 0

    def _next(self, *wanted: str) -> str:
        """The token here, consumed, if it is one of `wanted`; else ""."""
        if self.at < len(self.tokens) and self.tokens[self.at] in wanted:
            self.at += 1
            return self.tokens[self.at - 1]
        return ""

    def sum(self, depth: int) -> Fraction:
        total = self.term(depth)
        while sign := self._next("+", "-"):
            right = self.term(depth)
            total = total + right if sign == "+" else total - right
        return total

    def term(self, depth: int) -> Fraction:
        product = self.factor(depth)
        while sign := self._next("*", "/"):
            right = self.factor(depth)
            if sign == "/" and right == 0:
                raise NotArithmeticError("division by zero")
            product = product * right if sign == "*" else product / right
        return product

    def factor(self, depth: int) -> Fraction:
        if depth == 0 or self.at == len(self.tokens):
            raise NotArithmeticError("too deep, or it ends early")
        if self._next("-"):
            return -self.factor(depth - 1)
        if self._next("("):
            inside = self.sum(depth - 1)
            if not self._next(")"):
                raise NotArithmeticError("a bracket is not closed")
            return inside
        token = self.tokens[self.at]
        if not token.isdigit():
            raise NotArithmeticError("a number was expected")
        self.at += 1
        return Fraction(int(token))
