import torch
from torch import Tensor

from jumar.ops.per_prompt import no_prompts, recalled, remembered

LIKE = torch.zeros(3, dtype=torch.float64)


def ids(*values: int) -> Tensor:
    return torch.tensor(values)


def numbers(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def test_of_a_new_prompt_nothing_is_known() -> None:
    state = no_prompts(columns=("mean",))
    found = recalled(state, "mean", ids(5, 5, 9), like=LIKE, unknown=0.5)
    assert found.tolist() == [0.5, 0.5, 0.5]
    assert found.dtype == torch.float64


def test_what_was_remembered_is_found_again_by_prompt_in_any_order() -> None:
    state = remembered(no_prompts(columns=("mean",)), ids(9, 5, 9), mean=numbers(2.0, 3.0, 2.0))
    assert state["prompt_ids"].tolist() == [5, 9]
    found = recalled(state, "mean", ids(7, 9, 5), like=LIKE, unknown=-1.0)
    assert found.tolist() == [-1.0, 2.0, 3.0]
    last = recalled(state, "mean", ids(2**62, 5, 1), like=LIKE)
    assert last.tolist() == [0.0, 3.0, 0.0]


def test_a_prompt_is_renewed_and_the_others_stay() -> None:
    state = remembered(no_prompts(columns=("mean",)), ids(9, 5), mean=numbers(2.0, 3.0))
    state = remembered(state, ids(5, 1), mean=numbers(4.0, 6.0))
    assert state["prompt_ids"].tolist() == [1, 5, 9]
    assert state["mean"].tolist() == [6.0, 4.0, 2.0]


def test_the_state_does_not_depend_on_the_order_of_rows() -> None:
    empty = no_prompts(columns=("mean",))
    one = remembered(empty, ids(9, 5, 7), mean=numbers(1.0, 2.0, 3.0))
    other = remembered(empty, ids(7, 9, 5), mean=numbers(3.0, 1.0, 2.0))
    assert all(torch.equal(one[name], other[name]) for name in one)
