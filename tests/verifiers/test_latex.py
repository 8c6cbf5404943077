import pytest

from jumar.verifiers.latex import normalised, same_answer
from verifiers.corpora import FORGED, HOSTILE


@pytest.mark.parametrize(
    ("answer", "gold"),
    [
        ("0.5", "\\frac{1}{2}"),
        ("x = 7", "7"),
        ("\\dfrac{a}{b}", "\\frac ab"),
        ("\\left( 1, \\frac{1}{2} \\right)", "(1,0.5)"),
        ("[0, \\infty)", "\\left[0,\\infty\\right)"),
        ("(-\\infty,0)\\cup(1, 2]", "(-\\infty, 0) \\cup (1,2]"),
        ("\\{2, 1\\}", "\\{1,2\\}"),
        ("5, 3", "3,5"),
        ("2\\sqrt3", "2\\sqrt{3}"),
        ("\\text{monday}", "Monday"),
        ("C", "\\text{(C)}"),
        ("90", "90^\\circ"),
        ("x \\in (0,1)", "(0,1)"),
        ("y = 2x+1", "y=2x + 1"),
        ("x^{2}-1", "x^2 - 1"),
        ("3\u03c0", "3\\pi"),
        ("10\\%", "10\\%"),
        ("\\begin{pmatrix} 1 \\\\ 2 \\end{pmatrix}", "\\begin{pmatrix}1\\\\2\\end{pmatrix}"),
    ],
)
def test_other_spellings_of_the_gold_are_accepted(answer, gold):
    assert same_answer(answer, gold)


@pytest.mark.parametrize(("gold", "answer"), FORGED)
def test_no_forged_answer_is_accepted(gold, answer):
    assert not same_answer(answer, gold)


def test_a_letter_right_behind_a_number_of_the_gold_is_a_symbol_and_no_unit():
    assert same_answer("6 m", "$6m$")
    assert not same_answer("6", "$6m$")
    assert same_answer("6", "6 \\text{ m}")


def test_the_forging_corpus_holds_forty_tricks():
    assert len(FORGED) >= 40


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_text_equals_no_gold(text):
    assert not same_answer(text, "123")
    assert not same_answer(text, "(1, 2)")
    assert not same_answer(text, "x^2-1")


def test_normalising_twice_changes_nothing_more():
    for text in ("\\dfrac12", "\\text{ a b }", "x^{2}", "1/2", "\\sqrt2"):
        assert normalised(normalised(text)) == normalised(text)
