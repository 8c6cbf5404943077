import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jumar.verifiers.program_tests import Call, Program, read_tests, same_json, same_text

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)  # fmt: skip


def test_calls_and_programs_are_read():
    rows = [{"call": "f", "arguments": [1], "returns": None}, {"stdin": "", "stdout": "x"}]
    assert read_tests(json.dumps(rows)) == [Call("f", [1], None), Program("", "x")]


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ([], "one or more"),
        ({}, "a list"),
        ([{"call": "f", "arguments": [1]}], "test 1 has neither"),
        ([{"stdin": "", "stdout": ""}, {"stdin": ""}], "test 2 has neither"),
        ([{"call": "f", "arguments": 1, "returns": 1}], "neither"),
        ([{"stdin": "", "stdout": 3}], "neither"),
        ([{"stdin": "", "stdout": "", "seconds": 3}], "unknown keys: seconds"),
        ([3], "neither"),
    ],
)
def test_other_rows_are_refused_with_their_place(rows, reason):
    with pytest.raises(ValueError, match=reason):
        read_tests(json.dumps(rows))


@given(values)
def test_a_value_is_the_same_as_itself(value):
    assert same_json(json.dumps(value), value)


@given(values, values)
def test_two_values_are_the_same_only_where_python_says_so_too(left, right):
    if left != right and not isinstance(right, float | list | dict):
        assert not same_json(json.dumps(left), right)


@pytest.mark.parametrize(
    ("told", "expected", "same"),
    [
        ("1", True, False),
        ("true", 1, False),
        ("0", False, False),
        ("null", 0, False),
        ("1.0", 1, True),
        ("1", 1.0, True),
        ("0.30000000000000004", 0.3, True),
        ("0.3001", 0.3, False),
        ("1" + "0" * 400, 1.5, False),
        ("1e400", 1.5, False),
        ("NaN", 1.5, False),
        ("Infinity", 1.5, False),
        ("[1, 2]", [2, 1], False),
        ("[1, 2, 3]", [1, 2], False),
        ('{"a": 1, "b": 2}', {"b": 2, "a": 1}, True),
        ('{"a": 1, "b": 2}', {"a": 1}, False),
        ('"1"', 1, False),
        ("1 1", 1, False),
        ("9" * 5000, 9, False),
        ("[" * 100_000, [], False),
        ("", "", False),
    ],
)
def test_values_are_compared_as_json(told, expected, same):
    assert same_json(told, expected) is same


@pytest.mark.parametrize(
    ("printed", "same"),
    [("1 2\n3\n", True), ("1 2  \n3", True), ("1 2\n3\n\n\n", True), ("1 2\r\n3\r\n", True),
     ("1 2 3\n", False), (" 1 2\n3\n", False), ("1 2\n\n3\n", False), ("", False)],
)  # fmt: skip
def test_white_space_at_ends_does_not_count(printed, same):
    assert same_text(printed, "1 2\n3\n") is same
