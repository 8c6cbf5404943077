from pathlib import Path

import pytest

from jumar.errors import ConfigurationError
from jumar.verifiers import VerifierSpec
from jumar.verifiers.build import build
from jumar.verifiers.score import Row

REWARDS = str(Path(__file__).with_name("rewards.py"))
ROW = Row("q", "gold", {"bonus": 0.25})


def scored(name, response="gold"):
    return build(VerifierSpec("function", {"target": f"{REWARDS}:{name}"}))(response, ROW)


@pytest.mark.parametrize(
    ("name", "score", "correct"),
    [
        ("length", 0.4, False),
        ("is_gold", 1.0, True),
        ("both", 0.5, True),
        ("sees_metadata", 0.25, False),
        ("as_numpy", 1.0, True),
        ("trl_style", 1.0, True),
        ("trl_narrow", 0.25, False),
    ],
)
def test_both_signatures_and_every_kind_of_mark_are_understood(name, score, correct):
    found = scored(name)
    assert (found.score, found.correct, found.rewards) == (score, correct, {name: score})
    assert found.status == ("right" if correct else "wrong")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("gives_none", "NoneType"),
        ("gives_nan", "not a finite number"),
        ("gives_inf", "not a finite number"),
        ("gives_huge", "more than 1000000000"),
        ("gives_text", "returned str"),
        ("gives_list", "returned list"),
        ("gives_dict_without_score", "without 'score'"),
        ("gives_odd_correct", "'correct' of type str"),
        ("raises", "the user's own bug"),
        ("trl_silent", "returned None"),
        ("trl_long", "2 values for 1 response"),
        ("trl_scalar", "not a list"),
    ],
)
def test_a_bad_return_value_is_a_crash_with_its_reason(name, reason):
    found = scored(name)
    assert found.status == "crashed"
    assert not found.correct
    assert reason in found.detail


def test_a_negative_zero_is_a_zero():
    found = scored("gives_negative_zero")
    assert (found.status, str(found.score)) == ("wrong", "0.0")


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("no_colon", "needs a module or a file"),
        ("no.such.module:f", "No module named"),
        ("/no/such/file.py:f", "no such file"),
        (f"{REWARDS}:missing", "no attribute 'missing'"),
        (f"{REWARDS}:not_a_function", "it is a int"),
    ],
)
def test_a_target_that_is_no_function_is_refused(target, reason):
    with pytest.raises(ConfigurationError, match=reason):
        build(VerifierSpec("function", {"target": target}))


def part(name, weight=1.0):
    verifier = {"kind": "function", "options": {"target": f"{REWARDS}:{name}"}}
    return {"name": name, "weight": weight, "verifier": verifier}


def weighted(*parts):
    return build(VerifierSpec("weighted", {"parts": list(parts)}))("gold", ROW)


def test_several_functions_are_summed_by_weight_and_reported_by_name():
    found = weighted(part("is_gold"), part("length", 0.5))
    assert found.score == pytest.approx(1.2)
    assert found.rewards == {"is_gold": 1.0, "length": 0.4}
    assert found.correct


def test_only_the_first_part_decides_what_is_correct():
    assert not weighted(part("length"), part("is_gold")).correct


def test_a_part_without_an_opinion_is_left_out():
    found = weighted(part("is_gold"), part("trl_silent"))
    assert (found.score, found.status, found.rewards) == (1.0, "right", {"is_gold": 1.0})


def test_a_crash_in_one_part_is_a_crash_of_the_whole():
    found = weighted(part("is_gold"), part("gives_nan"))
    assert (found.status, found.correct, found.score) == ("crashed", False, 0.0)
    assert "gives_nan" in found.detail


def test_a_built_in_verifier_may_be_a_part():
    gsm8k = {"name": "answer", "weight": 1.0, "verifier": {"kind": "gsm8k"}}
    found = build(VerifierSpec("weighted", {"parts": [gsm8k, part("length", 0.1)]}))(
        "#### 7", Row("q", "7", {})
    )
    assert found.correct
    assert found.rewards["answer"] == 1.0


def test_parts_need_names_of_their_own():
    with pytest.raises(ConfigurationError, match="names of their own"):
        weighted(part("length"), part("length"))


def test_an_unknown_kind_is_refused():
    with pytest.raises(ConfigurationError, match="Kinds are: gsm8k"):
        build(VerifierSpec("gsm9k"))
    with pytest.raises(ConfigurationError, match="no verifier"):
        build(VerifierSpec("none"))
