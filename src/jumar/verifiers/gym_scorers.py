"""Scorers of our own for reasoning-gym datasets whose own scorer must not see model text.

Two reasons put a dataset here: its scorer passes text to `eval` or sympy's `parse_expr`, which run
code, or it gives the full mark to answers that are wrong ("0" for any probability below 1). Partial
credit is the package's where that can be had. Every function: (answer, entry) -> score in [0, 1];
the full mark is 1.
"""

import json
import math
import re
from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import Any

from jumar.verifiers.arithmetic import NotArithmeticError, value
from jumar.verifiers.polynomial import NotPolynomialError, derivative, polynomial
from jumar.verifiers.rational import number

Entry = Mapping[str, Any]
GymScorer = Callable[[str, Entry], float]

MAX_LIST_TEXT = 20_000  # characters
MAX_LIST_DEPTH = 4
_SCIENTIFIC = re.compile(r"[0-9](?:\.[0-9]{1,30})?[eE]-?[0-9]{1,2}")


def countdown(answer: str, entry: Entry) -> float:
    """1 for an expression of exactly the given numbers that hits the target, else 0.05."""
    try:
        result, used = value(answer)
    except NotArithmeticError:
        return 0.01
    numbers, target = entry["metadata"]["numbers"], entry["metadata"]["target"]
    return 1.0 if sorted(used) == sorted(numbers) and result == target else 0.05


def puzzle24(answer: str, entry: Entry) -> float:
    """1 for an expression of the puzzle's own four numbers that makes 24."""
    try:
        result, used = value(answer)
    except NotArithmeticError:
        return 0.01
    right = sorted(used) == sorted(entry["metadata"]["numbers"]) and result == 24
    return 1.0 if right else 0.01


def string_insertion(answer: str, entry: Entry) -> float:
    """1 for the exact string, 0.1 for a list of its characters."""
    return _text_or_list(answer, entry["answer"], lambda items: "".join(map(str, items)))


def spiral_matrix(answer: str, entry: Entry) -> float:
    """1 for the exact sequence, 0.1 for a list of its numbers."""
    return _text_or_list(answer, entry["answer"].strip(), lambda xs: " ".join(map(str, xs)))


def binary_matrix(answer: str, entry: Entry) -> float:
    """1 for the exact rows, 0.1 for a list of lists."""
    return _text_or_list(answer, entry["answer"], _rows)


def n_queens(answer: str, entry: Entry) -> float:
    """1 for a board that solves the puzzle, 0.5 for such a board as a list of lists."""
    solutions = entry["metadata"]["valid_answers"]
    if answer in solutions:
        return 1.0
    board = _read_list(answer)
    return 0.5 if board is not None and _attempt(_rows, board) in solutions else 0.0


def number_sorting(answer: str, entry: Entry) -> float:
    """1 for the same numbers in the same order (the package takes any within 1 of them)."""
    found, gold = _read_list(answer), _read_list(entry["answer"])
    if found is None or gold is None:
        return 0.0
    left, right = _decimals(found), _decimals(gold)
    return float(left is not None and left == right)


def bitwise_arithmetic(answer: str, entry: Entry) -> float:
    """1 for the gold's integer, in any base that its prefix names."""
    found, gold = _integer(answer), _integer(entry["answer"])
    return float(found is not None and found == gold)


def polynomial_multiplication(answer: str, entry: Entry) -> float:
    """1 for the product in expanded form."""
    try:
        return float(polynomial(answer) == polynomial(entry["answer"]))
    except NotPolynomialError:
        return 0.0


def simple_integration(answer: str, entry: Entry) -> float:
    """1 for a polynomial whose derivative is the integrand."""
    variable = entry["metadata"]["variable"]
    try:
        integrand = polynomial(entry["metadata"]["integrand"])
        return float(derivative(polynomial(answer), variable) == integrand)
    except NotPolynomialError:
        return 0.0


def game_of_life_halting(answer: str, entry: Entry) -> float:
    """1 for the gold's True or False (the package takes any text for True)."""
    return float(answer.strip().casefold() == str(entry["answer"]).strip().casefold())


def coin_flip(answer: str, entry: Entry) -> float:
    """1 within 1e-4 and 1 % of the gold's probability (the package takes "0" for any of them)."""
    found, gold = _probability(answer), _probability(entry["answer"])
    if found is None or gold is None:
        return 0.0
    return float(abs(found - gold) <= min(Fraction(1, 10_000), gold / 100))


def spell_backward(answer: str, entry: Entry) -> float:
    """1 for the word, else by letters in place, below 1 (the package's sum can pass 1)."""
    found, gold = answer.casefold(), entry["answer"].casefold()
    if found == gold:
        return 1.0
    matching: int = sum(a == b for a, b in zip(found, gold, strict=False))
    return 0.8 * (matching / len(gold))


def gsm_symbolic(answer: str, entry: Entry) -> float:
    """1 for the gold's number, else 0.01 (the package drops signs, takes the first of many)."""
    found, gold = number(answer), number(entry["answer"])
    if found is None:
        return 0.0
    return 1.0 if found == gold else 0.01


def complex_arithmetic(answer: str, entry: Entry) -> float:
    """exp(-distance) to the gold (the package takes "nan" for any of them)."""
    found = _complex(answer)
    if found is None:
        return 0.0
    gold: complex = complex(*entry["metadata"]["result"])
    return math.exp(-abs(found - gold))


def figlet_font(answer: str, entry: Entry) -> float:
    """1 for the word, else 0.1 per matching letter, below 1."""
    found, gold = answer.replace(" ", "").casefold(), entry["answer"].strip().casefold()
    if found == gold:
        return 1.0
    matching: int = sum(a == b for a, b in zip(found, gold, strict=False))
    return min(0.1 * matching, 0.9)


def _text_or_list(answer: str, gold: str, join: Callable[[list[Any]], str]) -> float:
    if answer == gold:
        return 1.0
    found = _read_list(answer)
    return 0.1 if found is not None and _attempt(join, found) == gold else 0.0


def _attempt(join: Callable[[list[Any]], str], items: list[Any]) -> str | None:
    try:
        return join(items)
    except TypeError:
        return None


def _rows(board: list[Any]) -> str:
    return "\n".join(" ".join(str(cell) for cell in row) for row in board)


def _read_list(text: str) -> list[Any] | None:
    """A list written as JSON or with Python's single quotes, bounded in length and depth."""
    if len(text) > MAX_LIST_TEXT or not text.strip().startswith("["):
        return None
    depth = 0
    for char in text:
        depth += (char in "[{") - (char in "]}")
        if depth > MAX_LIST_DEPTH:
            return None
    try:
        found = json.loads(text.replace("'", '"'))
    except ValueError:
        return None
    return found if isinstance(found, list) else None


def _decimals(items: list[Any]) -> list[Decimal] | None:
    try:
        numbers = [Decimal(str(item)[:100]) for item in items]
    except InvalidOperation:
        return None
    return numbers if all(n.is_finite() for n in numbers) else None


def _probability(text: str) -> Fraction | None:
    """A fraction, a decimal, or a decimal with a small power of ten; no percent sign."""
    if _SCIENTIFIC.fullmatch(text.strip()):
        return Fraction(text.strip())
    found = number(text)
    return None if found is None or found.percent else found.value


def _integer(text: str) -> int | None:
    if len(text) > 200:
        return None
    try:
        return int(text.strip(), 0)
    except ValueError:
        return None


def _complex(text: str) -> complex | None:
    """`3 - 2.5i`, `(4)`, `-i`: a finite complex number of plain decimals."""
    text = "".join(text.split()).lower().replace("\u2212", "-").replace("j", "i")[:100]
    while text.startswith("(") and text.endswith(")"):
        text = text[1:-1]
    if not text or set(text) - set("0123456789.+-i") or "i" in text[:-1]:
        return None
    text = text.replace("i", "j")
    if text in ("j", "+j", "-j") or text.endswith(("+j", "-j")):
        text = text[:-1] + "1j"
    try:
        return complex(text)
    except ValueError:
        return None


REPLACED: dict[str, GymScorer] = {
    function.__name__: function
    for function in (
        binary_matrix, bitwise_arithmetic, coin_flip, complex_arithmetic, countdown, figlet_font,
        game_of_life_halting, gsm_symbolic, n_queens, number_sorting, polynomial_multiplication,
        puzzle24, simple_integration, spell_backward, spiral_matrix, string_insertion,
    )
}  # fmt: skip
REFUSED: dict[str, str] = {
    "intermediate_integration": "its answers need a computer algebra system, and the package's "
    "scorer runs them as code",
    "composite": "it mixes other datasets; name one of them instead",
}
