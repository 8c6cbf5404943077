"""A sampler that keeps weights of its own is told of every change, and of nothing else."""

from typing import Any

import torch
from letters import trainer

from jumar.engines.local.sampler import LocalSampler, Sampled
from jumar.engines.local.trainer import LocalTrainer

TWO = {"steps": 2, "prompts": 3}


class Watching:
    """Draws locally, and refuses where the policy is not what it was told last."""

    def __init__(self) -> None:
        self.known: list[torch.Tensor] = []
        self.told = self.drew = 0

    def sample(self, model: torch.nn.Module, *where: Any, **how: Any) -> Sampled:
        self.drew += 1
        assert all(map(torch.equal, self.known, model.parameters()))
        return LocalSampler(64).sample(model, *where, **how)

    def synchronise(self, model: torch.nn.Module) -> dict[str, float]:
        new = [weight.detach().clone() for weight in model.parameters()]
        assert not self.known or not all(map(torch.equal, self.known, new))
        self.known, self.told = new, self.told + 1
        return {"logprob/probe_gap": 0.25}


def watched(run: LocalTrainer) -> Watching:
    run.policy.sampler = watching = Watching()
    run.policy.synchronise()
    return watching


def test_it_is_told_after_each_update_and_its_metrics_are_kept(model, pool, tmp_path):
    run = trainer(tmp_path / "run", model, pool, evaluation={"every": 1})
    watching = watched(run)
    run.train(steps=3)
    assert watching.told == 1 + 3
    assert watching.drew >= 2 * 3  # rollouts and evaluations
    assert (tmp_path / "run" / "metrics.jsonl").read_text().count('"logprob/probe_gap": 0.25') == 3


def test_it_is_told_when_a_checkpoint_is_taken_up(model, pool, tmp_path):
    trainer(tmp_path / "run", model, pool).train(steps=2)
    again = trainer(tmp_path / "run", model, pool)
    watching = watched(again)
    assert again.restore() == 2
    again.train(steps=2)
    again.train(steps=1)
    assert watching.told == 1 + 1 + 1


def test_it_is_told_of_an_adopted_model(model, pool, tmp_path):
    run = trainer(tmp_path / "run", model, pool)
    watching = watched(run)
    batch = run.sample(prompts=6, responses=4)
    run.adopt(run.fit(batch, **TWO).last, steps=2)
    assert watching.told == 1 + 1


def test_another_model_is_asked_by_the_sampler_of_this_machine(model, pool, tmp_path):
    policy = trainer(tmp_path / "run", model, pool).policy
    policy.sampler = watching = Watching()
    other = policy.with_model(policy.model)
    assert isinstance(other.sampler, LocalSampler)
    assert policy.sampler is watching
