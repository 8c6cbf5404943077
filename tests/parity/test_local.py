"""Our own engine gives one loss and one gradient, however the step is cut."""

import pytest
import torch

from jumar import algorithms

from .case import Found, algorithm, case, difference, ours
from .records import check


@pytest.mark.parametrize("name", algorithms.names())
def test_the_cut_into_micro_batches_changes_nothing(name):
    check("local", name)


@pytest.mark.parametrize("name", algorithms.names())
def test_there_is_a_gradient_to_compare(name):
    found = ours(algorithm(name), case())
    assert max(float(gradient.abs().max()) for gradient in found.gradients.values()) > 1e-4


def test_a_difference_is_the_largest_entry_as_a_fraction_of_the_largest():
    one = Found(loss=1.0, gradients={"a": torch.tensor([2.0, 0.0]), "b": torch.tensor([1.0])})
    other = Found(loss=0.5, gradients={"a": torch.tensor([2.0, 0.5]), "b": torch.tensor([0.0])})
    assert difference(one, other) == (0.5, 0.5)
