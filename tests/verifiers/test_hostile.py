"""A part of the figures R4, R5 and R6; `make reliability` measures them whole."""

import pytest

from jumar.verifiers import VerifierSpec
from jumar.verifiers.build import build
from jumar.verifiers.rational import number
from jumar.verifiers.score import Row
from reliability.figures_verifiers import (
    NUMERIC,
    OTHERS,
    in_asyncio,
    in_the_main_thread,
    in_threads,
    scored_hostile,
)
from verifiers import faults
from verifiers.forged_answers import forged
from verifiers.hostile import FAMILIES, answers

ANSWERS = answers()
SAMPLE = dict(list(ANSWERS.items())[::15])
SLOW = ("spin", "tower", "sleep", "eat")


def test_the_corpus_is_five_hundred_answers_and_more_of_every_family():
    assert len(ANSWERS) >= 500
    assert len(set(ANSWERS.values())) == len(ANSWERS)
    assert {name.rsplit(" ", 1)[0] for name in ANSWERS} == set(FAMILIES)
    assert max(map(len, ANSWERS.values())) >= 1_000_000


@pytest.mark.parametrize("way", [in_the_main_thread, in_threads, in_asyncio])
def test_hostile_answers_are_marked_in_time_from_anywhere_and_kill_nobody(way):
    _, _, notes = scored_hostile(VerifierSpec("math"), way, SAMPLE)
    assert [note for note in notes if "p99" not in note] == []  # a time is the figure's business


@pytest.mark.slow
@pytest.mark.parametrize("spec", [*NUMERIC, *OTHERS], ids=str)
def test_every_verifier_lives_through_the_whole_corpus(spec):
    _, _, notes = scored_hostile(spec, in_the_main_thread, ANSWERS)
    assert [note for note in notes if "p99" not in note] == []


@pytest.mark.parametrize("spec", NUMERIC, ids=lambda spec: spec.kind)
def test_no_response_that_does_not_answer_is_right_where_the_gold_is_a_number(spec):
    score = build(spec)
    responses = forged(number)
    assert len(responses) >= 50
    assert [
        (gold, response)
        for question, gold, response in responses
        if score(response, Row(question, gold)).correct
    ] == []


@pytest.mark.parametrize("spec", NUMERIC, ids=lambda spec: spec.kind)
@pytest.mark.parametrize("form", ["#### {}", "\\boxed{{{}}}"])
def test_the_same_golds_are_right_where_they_are_answered(spec, form):
    score = build(spec)
    for _, gold, _ in forged(number):
        assert score(form.format(gold), Row("q", gold)).correct


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(fault, id=" ".join(fault), marks=[pytest.mark.slow] * (fault[1] in SLOW))
        for fault in faults.FAULTS
    ],
)
def test_a_faulty_reward_is_counted_and_told_and_no_silent_zero(fault):
    assert faults.told(fault)[2] == []


@pytest.mark.parametrize("fault", faults.SPECIAL)
def test_so_is_one_that_is_killed_or_changes(fault):
    assert faults.told(fault)[2] == []
