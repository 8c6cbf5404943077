from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jumar.verifiers.arithmetic import NotArithmeticError, value
from verifiers.corpora import HOSTILE

expressions = st.recursive(
    st.integers(0, 99).map(lambda n: (str(n), Fraction(n))),
    lambda inner: st.tuples(inner, st.sampled_from("+-*"), inner).map(
        lambda t: (
            f"({t[0][0]}) {t[1]} ({t[2][0]})",
            {"+": t[0][1] + t[2][1], "-": t[0][1] - t[2][1], "*": t[0][1] * t[2][1]}[t[1]],
        )
    ),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("text", "result", "used"),
    [
        ("94*4 - 61 - 6", 309, [94, 4, 61, 6]),
        ("10*(8 - 5) - 6", 24, [10, 8, 5, 6]),
        ("-(3 - 5)", 2, [3, 5]),
        ("8/(3 - 8/3)", 24, [8, 3, 8, 3]),
        ("2 - 3 - 4", -5, [2, 3, 4]),
    ],
)
def test_expressions_are_worked_out_exactly(text, result, used):
    assert value(text) == (Fraction(result), used)


@given(expressions)
def test_values_follow_the_brackets(expression):
    text, expected = expression
    assert value(text)[0] == expected


@pytest.mark.parametrize(
    "text",
    ["", "2**3", "2^3", "7//2", "1/0", "3!", "1.5", "1e9", "x", "abs(3)", "(1", "1)", "1 2", "0x1",
     "1_0", "1,2", "24=24", "+1", "()", "1" * 21],
)  # fmt: skip
def test_anything_outside_the_grammar_is_refused(text):
    with pytest.raises(NotArithmeticError):
        value(text)


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_text_is_refused_or_small(text):
    try:
        result, _ = value(text)
    except NotArithmeticError:
        return
    assert abs(result) < 10**20
