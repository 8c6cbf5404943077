"""Our own engine gives one loss and one gradient, however the step is cut."""

import pytest
import torch

from jumar import algorithms

from .case import Found, difference
from .records import check


@pytest.mark.slow
@pytest.mark.parametrize("name", algorithms.names())
def test_the_cut_into_micro_batches_changes_nothing(name):
    check("local", name)


def test_a_difference_is_the_largest_entry_as_a_fraction_of_the_largest():
    one = Found(loss=1.0, gradients={"a": torch.tensor([2.0, 0.0]), "b": torch.tensor([1.0])})
    other = Found(loss=2.0, gradients={"a": torch.tensor([2.0, 0.5]), "b": torch.tensor([0.0])})
    assert difference(one, other) == (0.5, 0.5)
