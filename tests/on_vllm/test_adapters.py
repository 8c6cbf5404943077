"""LoRA: the base is sent once, then adapters alone."""

from pathlib import Path

import pytest
import torch
from sides import TRUNCATED, drawn, gaps, sampler_with, update
from wrong_exchange import Between

from jumar.engines.local.lora import add_adapter
from jumar.engines.local.models import load_model
from jumar.engines.settings import LoraSettings
from jumar.errors import SynchronisationError


@pytest.fixture
def adapted(model: torch.nn.Module, letters: Path) -> torch.nn.Module:
    add_adapter(model, LoraSettings(rank=4), base=str(letters), seed=0)
    return model


def test_an_adapter_reaches_the_sampler_and_what_it_cached(engine, adapted, tmp_path):
    sampler = sampler_with(engine, tmp_path)
    for seed in range(3):
        found = sampler.synchronise(adapted)
        assert found["logprob/probe_gap"] < 1e-5
        assert gaps(adapted, drawn(sampler, adapted), TRUNCATED).max() < 1e-4
        update(adapted, 0.05, seed)
    assert gaps(adapted, drawn(sampler, adapted), TRUNCATED).mean() > 1e-2  # not synchronised yet
    assert not list(tmp_path.iterdir())


def test_a_run_without_an_adapter_does_not_draw_with_the_last_ones(
    engine, adapted, letters, tmp_path
):
    sampler = sampler_with(engine, tmp_path)
    update(adapted, 0.05, 0)
    sampler.synchronise(adapted)
    whole = load_model(letters)[0]
    sampler = sampler_with(engine, tmp_path)
    assert sampler.synchronise(whole)["logprob/probe_gap"] < 1e-5
    assert gaps(whole, drawn(sampler, whole), TRUNCATED).max() < 1e-4


def test_an_adapter_that_does_not_arrive_is_named(engine, adapted, tmp_path):
    between = Between(engine, "skipped", tmp_path / "kept", first=4)
    sampler = sampler_with(between, tmp_path / "exchange")
    for seed in range(2):
        sampler.synchronise(adapted)
        update(adapted, 0.05, seed)
    with pytest.raises(SynchronisationError, match="the synchronisation was skipped"):
        sampler.synchronise(adapted)
    sent = [{file.name for file in (tmp_path / "kept" / str(n)).iterdir()} for n in range(3)]
    assert sent[0] == {"weights-00000.safetensors"}
    assert sent[1] == sent[2] == {"adapter_config.json", "adapter_model.safetensors", "base.json"}
