from fractions import Fraction

import pytest

from jumar.verifiers.polynomial import NotPolynomialError, derivative, polynomial
from verifiers.corpora import HOSTILE


def test_terms_are_read_added_and_ordered():
    assert polynomial("3*x**2*y - x*y*x/2 + 1 - 1") == {(("x", 2), ("y", 1)): Fraction(5, 2)}
    assert polynomial("-34*x**8/15 + C") == {
        (("x", 8),): Fraction(-34, 15),
        (("C", 1),): Fraction(1),
    }
    assert polynomial("0") == {}


def test_the_derivative_is_taken_term_by_term():
    assert derivative(polynomial("x**3/3 - 2*x + C"), "x") == polynomial("x**2 - 2")
    assert derivative(polynomial("1/x"), "x") == polynomial("-1/x**2")


@pytest.mark.parametrize(
    "text",
    ["", "(x+1)*(x-1)", "x y", "2**9", "x**y", "sin(x)", "x**1.5", "1/0", "x +", "x**99999", "2x"],
)
def test_anything_but_expanded_terms_is_refused(text):
    with pytest.raises(NotPolynomialError):
        polynomial(text)


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_text_is_refused_or_small(text):
    try:
        found = polynomial(text)
    except NotPolynomialError:
        return
    assert len(found) < 10
