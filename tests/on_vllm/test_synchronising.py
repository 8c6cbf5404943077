"""The exchange of weights with a real vLLM, and exchanges that go wrong in three ways."""

import pytest
from sides import TRUNCATED, drawn, gaps, sampler_with, update
from wrong_exchange import Between

from jumar.errors import SynchronisationError


def test_an_update_reaches_the_sampler_and_what_it_cached(engine, model, tmp_path):
    sampler = sampler_with(engine, tmp_path)
    for seed in range(3):
        found = sampler.synchronise(model)
        assert found["logprob/probe_gap"] < 1e-5
        assert gaps(model, drawn(sampler, model), TRUNCATED).max() < 1e-4
        update(model, 0.02, seed)
    assert gaps(model, drawn(sampler, model), TRUNCATED).mean() > 1e-2  # not synchronised yet
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("fault", "size", "named"),
    [
        ("skipped", 0.01, "the synchronisation was skipped"),
        ("skipped", 2e-5, "the synchronisation was skipped"),  # moves far less than the tolerance
        ("half", 0.01, "A part of its weights is missing"),
        ("stale", 0.01, "It has the weights of 2 synchronisations ago"),
    ],
)
def test_a_wrong_exchange_is_named_at_once(engine, model, tmp_path, fault, size, named):
    between = Between(engine, fault, tmp_path / "kept", first=3)
    sampler = sampler_with(between, tmp_path / "exchange")
    for seed in range(2):
        sampler.synchronise(model)
        update(model, size, seed)
    with pytest.raises(SynchronisationError, match=named):
        sampler.synchronise(model)
