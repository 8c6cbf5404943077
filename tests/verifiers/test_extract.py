import pytest
from hypothesis import given
from hypothesis import strategies as st

from jumar.verifiers.extract import (
    boxed_answer,
    fenced_code,
    final_answer,
    hash_answer,
    last_number,
    new_number,
)


@pytest.mark.parametrize(
    ("response", "answer"),
    [
        ("so it is\n#### 18", "18"),
        ("#### 1\nno wait\n####  2  \nthanks", "2"),
        ("####18", "18"),
        ("#### ", None),
        ("18", None),
        ("####\n18", None),
    ],
)
def test_the_last_marker_names_the_answer(response, answer):
    assert hash_answer(response) == answer


def test_a_board_is_everything_after_the_marker():
    assert hash_answer("####\n1 2 \n 3 4\n\n", multiline=True) == "1 2\n 3 4"
    assert hash_answer("#### 1 2\n3 4", multiline=True) == "1 2\n3 4"


@pytest.mark.parametrize(
    ("response", "answer"),
    [
        (r"\boxed{7}", "7"),
        (r"\boxed{6} then \boxed{\frac{1}{2}}.", r"\frac{1}{2}"),
        (r"\boxed{\{1,2\}}", r"\{1,2\}"),
        (r"\fbox{7}", "7"),
        (r"\boxed 7", "7"),
        (r"\boxed{7", None),
        (r"\boxed{}", None),
        (r"\boxed{6}\boxed{7", None),
        ("7", None),
    ],
)
def test_the_last_balanced_box_names_the_answer(response, answer):
    assert boxed_answer(response) == answer


@pytest.mark.parametrize(
    ("response", "answer"),
    [
        ("3 apples and 4 pears make 7.", "7"),
        ("it costs $1,234.50 in all", "$1,234.50"),
        ("from 5 to -3", "-3"),
        ("a ratio of 3/4, then", "3/4"),
        ("half", None),
        ("it is 10^7", None),
        ("it is 7!", None),
        ("it is 3*7", None),
        ("it is **7**", "7"),
        ("it is 2**7", None),
        ("1, 2, 3, 4, 5, 6, 7", None),
        ("1 2 3 7", None),
        ("1\n2\n7", None),
        ("6 or 7", None),
        ("between 6 and 7", None),
        ("50% or $7", None),
        ("3 + 4 = 7", "7"),
        ("in 3 years 7", "7"),
    ],
)
def test_the_last_number_is_taken_as_written(response, answer):
    assert last_number(response) == answer


@pytest.mark.parametrize(
    ("response", "answer"),
    [("so 12", "12"), ("so 7", None), ("so 7.0", None), ("she has 3 and he 5", None), ("no", None)],
)
def test_a_number_of_the_question_has_to_be_marked_to_be_an_answer(response, answer):
    assert new_number(response, "She has 3, he has 5 of 7 apples. How many?") == answer


def test_a_marker_wins_over_boxes_and_numbers():
    assert final_answer("#### 5\n\\boxed{6} and 7") == "5"
    assert final_answer("\\boxed{6} and 7") == "6"
    assert final_answer("\\boxed{6} #### 7", ("boxed", "hash")) == "6"


@pytest.mark.parametrize(
    ("response", "code"),
    [
        ("```python\nx\n```", "x"),
        ("```\nx\n  y\n```\nand", "x\n  y"),
        ("```\na\n```\n```py\nb\n```", "b"),
        ("- so\n  ```\n  x\n  ```", "  x"),
        ("```\na\n```\n```py\nb", "a"),
        ("```python\nx", None),
        ("x", None),
        ("```x```", None),
        ("```\n```", ""),
    ],
)
def test_the_last_closed_block_is_the_program(response, code):
    assert fenced_code(response) == code


@given(st.text())
def test_any_text_is_read_without_an_error(text):
    for reader in (hash_answer, boxed_answer, last_number, final_answer):
        assert reader(text) is None or reader(text).strip()
