import pytest
import torch

from jumar.engines.vllm.probe import Probe
from jumar.errors import EngineError, SynchronisationError

TOLERANCE = 1e-3


def logprobs(seed: int) -> torch.Tensor:
    return -torch.rand(64, generator=torch.Generator().manual_seed(seed))


def updated(start: torch.Tensor, size: float, seed: int) -> torch.Tensor:
    return start + size * torch.randn(64, generator=torch.Generator().manual_seed(seed))


def after(*trainer: torch.Tensor) -> Probe:
    """A probe that has seen a sampler follow the trainer, with a rounding error of its own."""
    probe = Probe(TOLERANCE)
    for then in trainer:
        assert probe.gap(then, rounded(then)) < TOLERANCE
    return probe


def rounded(exact: torch.Tensor) -> torch.Tensor:
    return exact + 0.1 * TOLERANCE


@pytest.mark.parametrize("size", [10.0, 1.0, 0.1])  # in tolerances: large and small updates
def test_a_skipped_synchronisation_is_named_however_small_the_update(size):
    old = logprobs(0)
    new = updated(old, size * TOLERANCE, 1)
    with pytest.raises(SynchronisationError, match="the synchronisation was skipped"):
        after(old).gap(new, rounded(old))


def test_a_stale_synchronisation_is_named_with_its_age():
    oldest = logprobs(0)
    old = updated(oldest, 0.1, 1)
    new = updated(old, 0.1, 2)
    with pytest.raises(SynchronisationError, match="of 2 synchronisations ago: they are stale"):
        after(oldest, old).gap(new, rounded(oldest))


def test_what_is_neither_new_nor_old_is_a_partial_one():
    old = logprobs(0)
    new = updated(old, 0.1, 1)
    with pytest.raises(SynchronisationError, match="A part of its weights is missing"):
        after(old).gap(new, (old + new) / 2)


def test_a_sampler_that_says_nan_has_a_part_missing():
    old = logprobs(0)
    with pytest.raises(SynchronisationError, match="A part of its weights is missing"):
        after(old).gap(updated(old, 0.1, 1), old * torch.nan)


def test_other_weights_at_the_start_are_refused_too():
    with pytest.raises(SynchronisationError, match="neither the new nor earlier ones"):
        Probe(TOLERANCE).gap(logprobs(0), logprobs(1))


def test_a_policy_that_did_not_move_is_no_skipped_synchronisation():
    same = logprobs(0)
    assert after(same).gap(same, rounded(same)) == pytest.approx(0.1 * TOLERANCE, rel=1e-2)


def test_a_policy_that_returns_to_earlier_weights_is_followed():
    first = logprobs(0)
    second = updated(first, 0.1, 1)
    assert after(first, second).gap(first, rounded(first)) < TOLERANCE


def test_reported_logprobs_of_another_distribution_are_refused():
    drawn_from = logprobs(0)
    with pytest.raises(SynchronisationError, match="--logprobs-mode processed_logprobs"):
        Probe(TOLERANCE).same_distribution(drawn_from, drawn_from * 1.4)


def test_the_error_says_what_to_do_and_is_an_engine_error():
    with pytest.raises(EngineError, match=r"--resume; .* set vllm\.tolerance"):
        after(logprobs(0)).gap(logprobs(1), logprobs(2))
