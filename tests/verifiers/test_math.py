import pytest

from jumar.verifiers import VerifierSpec
from jumar.verifiers.build import build
from jumar.verifiers.rational import number
from jumar.verifiers.score import Row
from verifiers.corpora import FORGED, HOSTILE


def scored(kind, response, gold):
    return build(VerifierSpec(kind))(response, Row("q", gold))


@pytest.mark.parametrize(
    ("response", "status"),
    [
        ("#### 18", "right"),
        ("#### $18.00", "right"),
        ("\\boxed{18}", "right"),
        ("so she has 18 dollars left.", "right"),
        ("#### 19", "wrong"),
        ("18 #### 19", "wrong"),
        ("#### 18 or 19", "unparseable"),
        ("eighteen", "unparseable"),
        ("", "unparseable"),
    ],
)
def test_gsm8k_reads_the_marked_answer_first(response, status):
    found = scored("gsm8k", response, "18")
    assert (found.status, found.correct) == (status, status == "right")


def test_gsm8k_can_ask_for_a_marked_answer():
    strict = build(VerifierSpec("gsm8k", {"last_number": False}))
    assert strict("it is 18", Row("q", "18")).status == "unparseable"


@pytest.mark.parametrize(
    ("response", "gold", "status"),
    [
        ("\\boxed{\\frac{1}{2}}", "0.5", "right"),
        ("#### (1, 2)", "(1,2)", "right"),
        ("it is 7", "7", "right"),
        ("it is 7", "x+7", "unparseable"),
        ("\\boxed{6}\\boxed{7}", "7", "right"),
        ("\\boxed{7}\\boxed{6}", "7", "wrong"),
        ("\\boxed{7, 8}", "7", "wrong"),
    ],
)
def test_math_reads_the_last_box_first(response, gold, status):
    assert scored("math", response, gold).status == status


@pytest.mark.parametrize(("gold", "answer"), FORGED)
def test_no_forged_answer_is_marked_right(gold, answer):
    assert not scored("math", f"\\boxed{{{answer}}}", gold).correct
    assert not scored("math", f"#### {answer}", gold).correct
    if number(gold):
        assert not scored("gsm8k", f"#### {answer}", gold).correct
        assert not scored("gsm8k", f"\\boxed{{{answer}}}", gold).correct


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
@pytest.mark.parametrize("kind", ["math", "gsm8k", "exact"])
def test_hostile_text_is_never_right(kind, text):
    for response in (text, f"#### {text}", f"\\boxed{{{text}}}"):
        assert not scored(kind, response, "123456").correct


def test_exact_text_is_compared_without_regard_to_white_space():
    assert scored("exact", "#### two  words", "two words").correct
    assert scored("exact", " two words\n", "two words").correct
    assert not scored("exact", "Two words", "two words").correct
    assert scored("exact", "", "two words").status == "unparseable"
