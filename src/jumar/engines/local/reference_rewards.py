"""What the reference earns on every training prompt: sampled once, kept on disk, shared by runs.

The place is named by a hash of all that the numbers depend on (prompts as token ids, what the
verifier reads, the verifier and the files of its functions, weights, sampling), so another run
finds them, and one that changed any of it does not. Chunks are kept as they are finished; a run
that was killed goes on, and of several at once one samples while the others wait.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from jumar import __version__
from jumar.engines.contract import Observer, ReferenceRewards
from jumar.engines.local import checkpoint
from jumar.engines.local.distributed import from_main, is_main, whole
from jumar.engines.local.inputs import targets
from jumar.engines.local.locks import in_turn
from jumar.engines.local.lora import merged_weights
from jumar.engines.local.policy import LocalPolicy
from jumar.engines.local.sampler import Sampling
from jumar.engines.local.tiny import cache_root
from jumar.engines.settings import EngineSettings
from jumar.tasks.task import Example
from jumar.verifiers.pool import ScoringPool
from jumar.verifiers.reward_function import source

FILE = "rewards.safetensors"
COSTS = {"seconds": "seconds", "sampled_tokens": "tokens"}
STEP = -1  # of the draws: no step of training has it


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardStore:
    """Samples, scores and keeps."""

    reference: LocalPolicy
    examples: Sequence[Example]
    pool: ScoringPool
    settings: EngineSettings
    samples: int
    seed: int  # not the run's: runs of all seeds share what is found
    observer: Observer

    def get(self) -> tuple[ReferenceRewards, dict[str, float]]:
        """The rewards, and the seconds and tokens that they cost when they were made."""
        home = cache_root() / f"rewards-{self._digest()}"
        parts = home.with_name(f"{home.name}.parts")
        turn = in_turn(
            home.with_name(f"{home.name}.lock"),
            what="the reference's rewards",
            patience=60 * self.settings.distributed.deadline,
            made=lambda: sum(1 for _ in parts.iterdir()) if parts.is_dir() else 0,
        )
        with turn if is_main() else nullcontext():
            there = from_main((home / FILE).is_file)
            if there:
                self.observer.on_phase(f"The reference's rewards are there already: {home}")
            else:
                self._make(home)
        found = from_main(lambda: _listed(home))
        cost = {name: sum(found[key]) for name, key in COSTS.items()}
        ids = found["prompt_ids"]
        return ReferenceRewards(
            rewards=dict(zip(ids, found["rewards"], strict=True)),
            correct=dict(zip(ids, found["correct"], strict=True)),
        ), {**cost, "reused": float(there)}

    def _make(self, home: Path) -> None:
        self.observer.on_phase(
            f"Sampling the reference {self.samples} times on {len(self.examples)} prompts, once."
        )
        parts = home.with_name(f"{home.name}.parts")
        planned = dict(self._chunks())
        for number, (name, examples) in enumerate(planned.items(), start=1):
            self._part(parts / name, examples)
            if number % -(-len(planned) // 4) == 0:
                self.observer.on_phase(f"  {number} of {len(planned)} chunks")

        def write(path: Path) -> None:
            chunks = [_kept(parts / name) for name in planned]
            columns = {name: torch.cat([chunk[name] for chunk in chunks]) for name in chunks[0]}
            save_file(columns, path / FILE)

        checkpoint.replace_directory(home, write)
        checkpoint.remove_directory(parts)

    def _chunks(self) -> Iterator[tuple[str, Sequence[Example]]]:
        """Named by their place, so that a run with another size of chunks takes none as its own."""
        size = max(1, self.reference.rows // self.samples)
        for start in range(0, len(self.examples), size):
            yield f"{start:06d}-{size}", self.examples[start : start + size]

    def _part(self, path: Path, examples: Sequence[Example]) -> None:
        """One chunk: [P, N] per prompt and sample; seconds and tokens are shares of a prompt."""
        if from_main(path.is_dir):
            return
        start = perf_counter()
        sampled = self.reference.sample(
            examples, samples=self.samples, sampling=self._sampling(), seed=self.seed, step=STEP
        )
        rows = [example for example in examples for _ in range(self.samples)]
        scores = self.pool.score(self.reference.texts(sampled), rows)
        shape = len(examples), self.samples
        correct = torch.tensor([score.correct for score in scores]).view(shape)
        values = torch.tensor([score.score for score in scores]).view(shape)
        tokens = sampled.mask.sum(dim=1).view(shape).sum(dim=1).double().cpu()
        seconds = torch.full((len(examples),), (perf_counter() - start) / len(examples))
        columns = {
            "prompt_ids": torch.tensor([example.prompt_id for example in examples]),
            "correct": correct.to(torch.uint8),
            "rewards": values if self.settings.scoring.partial_credit else correct.float(),
            "tokens": tokens,
            "seconds": seconds.double(),
        }
        checkpoint.replace_directory(path, lambda at: save_file(columns, at / FILE))

    def _sampling(self) -> Sampling:
        rollout = self.settings.rollout
        return Sampling(temperature=rollout.temperature, top_p=rollout.top_p, top_k=rollout.top_k)

    def _digest(self) -> str:
        about = {
            "jumar": __version__,  # its verifiers may score otherwise in another one
            "sampling": repr(self._sampling()),
            "samples": self.samples,
            "seed": self.seed,
            "length": self.reference.max_response_tokens,
            "eos": sorted(self.reference.prompts.eos_ids),
            "model": _about(self.reference.model.config),
            "scoring": self.settings.scoring.model_dump(exclude={"workers"}),
            "verifier": self.pool.verifier.to_dict(),
        }
        found = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
        for example in self.examples:
            row = [self.reference.prompts.encode(example), example.prompt, example.answer]
            found.update(json.dumps([*row, dict(example.metadata)], sort_keys=True).encode())
        for target in targets(self.pool.verifier.to_dict()):
            found.update(source(target))
        for name, weight in merged_weights(self.reference.model):
            found.update(name.encode())
            plain = whole(weight.detach()).cpu()
            found.update(plain.flatten().view(torch.uint8).numpy().tobytes())
        return found.hexdigest()[:16]


def _kept(home: Path) -> dict[str, torch.Tensor]:
    checkpoint.verify(home)
    found: dict[str, torch.Tensor] = load_file(home / FILE)
    return found


def _listed(home: Path) -> dict[str, Any]:
    """JSON-able: what is kept there."""
    found = _kept(home)
    return {n: (c.bool() if n == "correct" else c).tolist() for n, c in found.items()}


def _about(config: Any) -> str:
    """What a model is besides its weights, such as how it scales positions."""
    about = {k: v for k, v in config.to_dict().items() if k[:1] != "_"}
    about.pop("transformers_version", None)
    return json.dumps(about, sort_keys=True, default=str)
