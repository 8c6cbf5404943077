"""Run by two processes: training steps alone, then together, then together with sharded weights.

Everything is in float64, so that what differs is more than rounding only if it is wrong.
"""

import json
import os
import sys
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parent.parent / "engines" / "local"))
import early
import letters

from jumar import algorithms
from jumar.engines.local.checkpoint import load_optimiser, optimiser_tensors
from jumar.engines.local.curriculum import PromptOrder
from jumar.engines.local.distributed import (
    check_alike,
    dealt_like,
    from_main,
    together,
    whole,
    world,
)
from jumar.engines.local.models import load_model, new_critic, recompute_activations
from jumar.engines.local.optimiser import new_adamw
from jumar.engines.local.policy import LocalPolicy
from jumar.engines.local.provision import needs
from jumar.engines.local.rollouts import Collector
from jumar.engines.local.scoring import SharedPool
from jumar.engines.local.sharding import model_writer, shard
from jumar.engines.local.update import Models, Updater
from jumar.engines.settings import DistributedSettings
from jumar.errors import ConfigurationError

STEPS = 2


# one with each trait that several processes could break
CASES: dict[str, Any] = {
    "grpo": {},
    "dapo": {},  # drops groups and samples others
    "bapo": {"optimiser": {"minibatches": 1}},  # batch_stats
    "ppo": {},  # a critic
    "owpo": {},  # a reference
    "rebel": {},  # whole groups
    "opd": {},  # a teacher's whole distribution
    "dpo": {"rollout": {"source": "dataset"}},  # stored pairs
    "riskpo": {},  # a state
    "tw_grpo": {},  # distributions of a whole group
    # one process has nothing to do
    "rebel, one group": {"rollout": {"prompts": 1}, "optimiser": {"minibatches": 1}},
    "ppo, one row": {"rollout": {"prompts": 1, "responses": 1}, "optimiser": {"minibatches": 1}},
}  # fmt: skip
# under FSDP every pass is a collective: one with each kind of pass
SHARDED = ("ppo", "owpo", "opd", "bapo", "tw_grpo", "rebel, one group", "ppo, one row")
BASE = {
    "rollout": {"prompts": 5, "responses": 3, "max_response_tokens": 10, "max_refills": 2},
    "optimiser": {"minibatches": 2, "micro_batch_tokens": 60, "max_grad_norm": 0.5},
}


class Step:
    """The models of one case, trained for some rollouts."""

    def __init__(self, case: str, place: Path, pool: SharedPool, prepared: Callable[[Any], Any]):
        name = case.partition(",")[0]
        self.algorithm = algorithms.get(name)
        changes = {k: {**BASE[k], **CASES[case].get(k, {})} for k in BASE}
        settings = letters.settings(**changes)
        weights, text = load_model(place / "model")
        policy: nn.Module = prepared(weights.double())
        self.models = Models(policy=policy)
        if needs(self.algorithm, "reference"):
            self.models.reference = prepared(load_model(place / "other")[0].double())
        if needs(self.algorithm, "teacher"):
            self.models.teachers = [prepared(load_model(place / "other")[0].double())]
        if self.algorithm.value_loss is not None:
            self.models.critic = prepared(new_critic(policy).double())
        examples = letters.task().train
        self.order = PromptOrder(examples, seed=3, stored=settings.rollout.source == "dataset")
        self.collector = Collector(
            policy=LocalPolicy(
                policy, text, letters.task().template, settings.loading,
                max_prompt_tokens=20, max_response_tokens=10, rows=7,
            ),
            pool=pool, algorithm=self.algorithm, settings=settings,
        )  # fmt: skip
        self.trained = [m for m in (policy, self.models.critic) if m is not None]
        self.updater = Updater(
            algorithm=self.algorithm, models=self.models, settings=settings, directory=place,
            optimisers=[torch.optim.AdamW(m.parameters(), lr=3e-3) for m in self.trained],
        )  # fmt: skip

    def run(self) -> dict[str, Any]:
        """What there is after `STEPS` rollouts, and what each of them was."""
        state, numbers, digests, watched = self.algorithm.init_state(), [], [], []
        for step in range(1, STEPS + 1):
            rollout, found = self.collector.collect(self.order, step=step, stage_step=step - 1)
            assert rollout is not None
            state, trained = self.updater.update(rollout.batch, rollout.prompts, state, watch=[0])
            digests.append(rollout.digest())
            watched.append(self.updater.watched)
            numbers.append(found | trained)
        timed = ("time/", "tokens_per_second")
        return {
            "weights": [self.everything(model, lambda w: w) for model in self.trained],
            "gradients": [self.everything(model, lambda w: w.grad) for model in self.trained],
            "state": [value.double().flatten() for value in state.values()],
            "metrics": [
                torch.tensor([n[k] for k in sorted(n) if not k.startswith(timed)]).double()
                for n in numbers
            ],
            "names": [sorted(n) for n in numbers],
            "rollouts": digests,
            "watched": watched,
        }

    @staticmethod
    def everything(model: nn.Module, part: Callable[[Tensor], Any]) -> Tensor:
        parts = [whole(part(weight)).detach() for weight in model.parameters()]
        return torch.cat([part.flatten() for part in parts])


def difference(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """The largest absolute difference of each kind; whether the rest is the same."""
    kinds = ("weights", "gradients", "state", "metrics")
    found: dict[str, Any] = {
        kind: max([float((a - b).abs().max()) for a, b in zip(one[kind], other[kind], strict=True)],
                  default=0.0)
        for kind in kinds
    }  # fmt: skip
    same = ("names", "rollouts", "watched")
    return found | {kind: one[kind] == other[kind] for kind in same}


def recomputing(model: nn.Module) -> Any:
    recompute_activations(model)
    return shard(model)


def adam(model: nn.Module) -> dict[str, Tensor]:
    """What AdamW leaves after three steps, its state being saved and loaded between them."""
    draws, state = torch.Generator().manual_seed(0), dict[str, Tensor]()
    for _ in range(3):
        optimiser = new_adamw(model, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.1)
        load_optimiser(model, optimiser, state)
        for weight in model.parameters():
            gradient = torch.randn(weight.shape, generator=draws).bfloat16()
            weight.grad = dealt_like(gradient, weight)
        optimiser.step()
        tensors = optimiser_tensors(model, optimiser).items()
        state = {name: whole(tensor).clone() for name, tensor in tensors}
    return state | {name: whole(weight.detach()) for name, weight in model.named_parameters()}


def adam_alike(place: Path) -> bool:
    """Whether it is the same for dealt bfloat16 weights and whole ones, bit by bit."""
    one, other = (
        adam(prepared(load_model(place / "model", dtype="bfloat16")[0]))
        for prepared in (lambda model: model, shard)
    )
    assert any(name.endswith("master") for name in one)
    return one.keys() == other.keys() and all(torch.equal(one[n], other[n]) for n in one)


def unlike() -> None:
    check_alike("recipe", os.environ["RANK"])


def only_on_main() -> None:
    from_main(lambda: check_alone(world()))


def check_alone(count: int) -> None:
    raise ConfigurationError(f"The main process sees {count}.")


def refused(of: Callable[[], None]) -> str:
    try:
        of()
    except ConfigurationError as error:
        return str(error)
    return ""


def written_alike(tied: bool, place: Path) -> bool:
    """Whether a model whose weights are dealt is written as one that has them whole."""
    model, text = load_model(place / "model")
    model.config.tie_word_embeddings = tied
    model.tie_weights()
    for name, prepared in (("whole", model), ("dealt", shard(deepcopy(model)))):
        write = model_writer(prepared, text)
        from_main(lambda directory=place / f"{name}-{tied}", write=write: write(directory))
    files = [place / f"{name}-{tied}" / "model.safetensors" for name in ("whole", "dealt")]
    return files[0].read_bytes() == files[1].read_bytes()


def main(place: Path) -> None:
    rank = int(os.environ["RANK"])
    with SharedPool(early.with_it(letters.task()).verifier, workers=1) as pool:
        alone = {case: Step(case, place, pool, lambda model: model).run() for case in CASES}
        found: dict[str, Any] = {"moved": {}, "dealt": {}, "sharded": {}}
        first = Step("grpo", place, pool, lambda model: model)
        start = first.everything(first.models.policy, lambda weight: weight)
        for case, result in alone.items():
            found["moved"][case] = float((result["weights"][0] - start).abs().max())
        with together(DistributedSettings(deadline=2.0)):
            for case, result in alone.items():
                dealt = Step(case, place, pool, lambda model: model).run()
                found["dealt"][case] = difference(dealt, result)
            for case in SHARDED:
                step = Step(case, place, pool, recomputing if case == "opd" else shard)
                found["sharded"][case] = difference(step.run(), alone[case])
            found["adam"] = adam_alike(place)
            found["written"] = [written_alike(tied, place) for tied in (False, True)]
            found["refused"] = [refused(of) for of in (unlike, only_on_main)]
    (place / f"found-{rank}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    CASES |= json.loads(sys.argv[2]) if len(sys.argv) > 2 else {}  # more of them
    main(Path(sys.argv[1]))
