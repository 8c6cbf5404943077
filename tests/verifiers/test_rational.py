from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jumar.verifiers.rational import MAX_DIGITS, Number, as_text, number, same_number
from verifiers.corpora import HOSTILE

fractions = st.fractions(max_denominator=10**12)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("18", "18"), ("$18", "18"), ("18$", "18"), ("\\$18", "18"), ("$$18$$", "18"),
        ("18.", "18"),
        ("1,000", "1000"), ("1{,}000", "1000"), ("1\\,000", "1000"), ("12,345,678", "12345678"),
        ("-5", "-5"), ("\u22125", "-5"), ("\u20135", "-5"), ("+5", "5"), ("$-5", "-5"),
        ("-$5", "-5"),
        ("0.5", "1/2"), (".5", "1/2"), ("-.5", "-1/2"), ("5.00", "5"), ("1/2", "1/2"),
        ("6/4", "3/2"),
        ("1 1/2", "3/2"), ("-1 1/2", "-3/2"), ("2\\frac{1}{3}", "7/3"), ("\\frac12", "1/2"),
        ("\\dfrac{-3}{4}", "-3/4"), ("-\\tfrac{3}{4}", "-3/4"), ("\\frac{\\frac12}{3}", "1/6"),
        ("18 dollars", "18"), ("5\\text{ cm}^2", "5"), ("5 cm^2", "5"), ("45^\\circ", "45"),
        ("3 1/2 hours", "7/2"), ("1.6 \\mathrm{~cm}", "8/5"), ("\\textbf{(113) }", "113"),
        ("**7**", "7"), ("\\(7\\)", "7"), ("{7}", "7"), ("\\left(7\\right)", "7"),
    ],
)  # fmt: skip
def test_one_number_is_read_exactly(text, value):
    assert number(text) == Number(Fraction(value))


@pytest.mark.parametrize(
    "text",
    ["6=7", "19*53", "2^3", "2**3", "3!", "1 2 3", "6 or 7", "1,00", "0,100", "1e5", "1/0", "1/2/3",
     "--5", "\\frac{1}{0}", "7 eggs", "6 million", "\u0667", "3\u00b2", "\u00bd", "nan", "inf",
     "1_000", "0x10", "", " ", "5 5", "1 3/2", "1 0.5/2", "5 feet 6 inches", "{", "(1,234)",
     "9" * (MAX_DIGITS + 1)],
)  # fmt: skip
def test_anything_else_is_no_number(text):
    assert number(text) is None


def test_a_percent_sign_is_part_of_the_value():
    assert same_number("50\\%", "50%")
    assert not same_number("50%", "50")
    assert not same_number("50%", "0.5")
    assert not same_number("50", "50%")


@given(fractions, st.booleans())
def test_printing_and_reading_gives_the_value_back(value, percent):
    assert number(as_text(Number(value, percent))) == Number(value, percent)


@given(st.integers())
def test_grouping_by_commas_changes_nothing(value):
    if len(str(abs(value))) <= MAX_DIGITS:
        assert number(f"{value:,}") == Number(Fraction(value))


@given(st.integers(0, 10**9), st.integers(1, 10**9), st.integers(0, 10**6))
def test_a_mixed_number_is_its_whole_plus_its_part(above, below, whole):
    if above < below:
        expected = Number(whole + Fraction(above, below))
        assert number(f"{whole} {above}/{below}") == expected
        assert number(f"{whole}\\frac{{{above}}}{{{below}}}") == expected


@given(st.decimals(allow_nan=False, allow_infinity=False, places=6))
def test_decimals_are_exact(value):
    text = f"{value:f}"
    if len(text) < MAX_DIGITS:
        assert number(text) == Number(Fraction(value))


@given(fractions, fractions)
def test_different_values_never_compare_equal(left, right):
    found = same_number(as_text(Number(left)), as_text(Number(right)))
    assert found == (left == right)


@given(st.text(alphabet="0123456789.,/-+$%{}()\\fracte ^*=!", max_size=40))
def test_any_text_is_read_without_an_error_and_stays_the_same_when_printed(text):
    found = number(text)
    assert found is None or number(as_text(found)) == found


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_text_is_no_number_or_a_small_one(text):
    found = number(text)
    assert found is None or len(as_text(found)) < 2 * MAX_DIGITS + 3
