import json
from enum import Enum

from hypothesis import given
from hypothesis import strategies as st

from jumar.verifiers.jsonable import from_json, to_json

scalars = st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False)
keys = st.integers() | st.text()
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner)
        | st.lists(inner).map(tuple)
        | st.dictionaries(keys, inner)
        | st.sets(st.integers())
    ),
    max_leaves=10,
)


@given(values)
def test_tuples_sets_and_odd_keys_survive_json(value):
    assert from_json(json.loads(json.dumps(to_json(value)))) == value


def test_enums_become_their_values_and_other_objects_their_text():
    colour = Enum("colour", {"RED": "r"})
    assert to_json({"a": colour.RED, "b": object}) == {"a": "r", "b": "<class 'object'>"}
