"""The optimiser of low precision, beside torch's own."""

import letters
import pytest
import torch
from letters import trainer, weights_of
from torch import nn

from jumar.engines.local.models import load_model
from jumar.engines.local.optimiser import MasterAdamW, new_adamw
from jumar.engines.local.trainer import LocalTrainer
from jumar.verifiers.pool import ScoringPool

SETTINGS = {"lr": 1e-2, "betas": (0.8, 0.99), "eps": 1e-6, "weight_decay": 0.1}


def test_on_float32_weights_it_is_torchs_adamw():
    torch.manual_seed(0)
    models = nn.Linear(5, 3), nn.Linear(5, 3)
    models[1].load_state_dict(models[0].state_dict())
    kinds = torch.optim.AdamW, MasterAdamW
    for model, kind in zip(models, kinds, strict=True):
        optimiser = kind(model.parameters(), **SETTINGS)
        for i in range(20):
            optimiser.zero_grad()
            model(torch.arange(5.0) - i).square().sum().backward()
            optimiser.step()
    torch.testing.assert_close(models[1].weight, models[0].weight)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_updates_below_the_precision_of_the_weights_add_up(dtype):
    model = nn.Linear(1, 1, bias=False).to(dtype)
    nn.init.ones_(model.weight)
    optimiser = new_adamw(model, lr=1e-4, eps=1e-8, weight_decay=0.0)
    for _ in range(200):
        model.weight.grad = torch.full_like(model.weight, 1e-3)
        optimiser.step()
    assert model.weight.item() == pytest.approx(0.98, abs=0.004)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_a_run_in_low_precision_learns_in_small_steps_and_resumes_exactly(dtype, tmp_path):
    model = letters.write_model(tmp_path / "model")
    changes = {"loading": {"dtype": dtype}, "optimiser": {"learning_rate": 1e-4}}
    with ScoringPool(letters.task().verifier, workers=1) as pool:

        def run(name: str, **more: object) -> LocalTrainer:
            return trainer(tmp_path / name, model, pool, algorithm="reinforce", **changes, **more)

        whole = run("whole").train(steps=4)
        with pytest.raises(KeyboardInterrupt):
            run("killed", log=letters.Log(stop_after=3)).train(steps=4)
        again = run("killed")
        assert again.restore() == 2
        resumed = again.train(steps=4)
    assert weights_of(resumed.last) == weights_of(whole.last)
    before, after = load_model(model, dtype=dtype)[0], load_model(whole.last, dtype=dtype)[0]
    pairs = zip(before.parameters(), after.parameters(), strict=True)
    assert any(not torch.equal(a, b) for a, b in pairs)
