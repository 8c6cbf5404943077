"""What the reference earns on every training prompt: sampled once, kept on disk, shared by runs.

The place is named by a hash of all that the numbers depend on (prompts as token ids, gold answers,
verifier, weights, sampling), so another run finds them, and one that changed any of it does not.
Chunks are kept as they are finished; a run that was killed goes on.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import torch
from safetensors.torch import load_file, save_file

from jumar.engines.contract import Observer, ReferenceRewards
from jumar.engines.local import checkpoint
from jumar.engines.local.policy import LocalPolicy
from jumar.engines.local.sampler import Sampling
from jumar.engines.local.tiny import cache_root
from jumar.engines.settings import EngineSettings
from jumar.tasks.task import Example
from jumar.verifiers.pool import ScoringPool

FILE = "rewards.safetensors"
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
        """The rewards, and what they cost: seconds and sampled tokens, 0 where they were there."""
        home = cache_root() / f"rewards-{self._digest()}"
        cost = {"seconds": 0.0, "sampled_tokens": 0.0, "reused": 1.0}
        if (home / FILE).is_file():
            self.observer.on_phase(f"The reference's rewards are there already: {home}")
        else:
            cost = self._make(home)
        checkpoint.verify(home)
        found = load_file(home / FILE)
        ids = found["prompt_ids"].tolist()
        return ReferenceRewards(
            rewards=dict(zip(ids, found["rewards"].tolist(), strict=True)),
            correct=dict(zip(ids, found["correct"].bool().tolist(), strict=True)),
        ), cost

    def _make(self, home: Path) -> dict[str, float]:
        self.observer.on_phase(
            f"Sampling the reference {self.samples} times on {len(self.examples)} prompts, once."
        )
        parts = home.with_name(f"{home.name}.parts")
        chunks = [self._part(parts / f"{i:05d}", chunk) for i, chunk in enumerate(self._chunks())]
        columns = {name: torch.cat([chunk[name] for chunk in chunks]) for name in chunks[0]}
        checkpoint.replace_directory(home, lambda path: save_file(columns, path / FILE))
        checkpoint.remove_directory(parts)
        seconds, tokens = (float(columns[name].sum()) for name in ("seconds", "tokens"))
        return {"seconds": seconds, "sampled_tokens": tokens, "reused": 0.0}

    def _chunks(self) -> Iterator[Sequence[Example]]:
        size = max(1, self.reference.rows // self.samples)
        for start in range(0, len(self.examples), size):
            yield self.examples[start : start + size]

    def _part(self, path: Path, examples: Sequence[Example]) -> dict[str, torch.Tensor]:
        """One chunk: [P, N] per prompt and sample; seconds and tokens are shares of a prompt."""
        if not path.is_dir():
            start = perf_counter()
            sampled = self.reference.sample(
                examples,
                samples=self.samples,
                sampling=self._sampling(),
                seed=self.seed,
                step=STEP,
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
        checkpoint.verify(path)
        found: dict[str, torch.Tensor] = load_file(path / FILE)
        return found

    def _sampling(self) -> Sampling:
        rollout = self.settings.rollout
        return Sampling(temperature=rollout.temperature, top_p=rollout.top_p, top_k=rollout.top_k)

    def _digest(self) -> str:
        about = {
            "format": 1,
            "sampling": repr(self._sampling()),
            "samples": self.samples,
            "seed": self.seed,
            "length": self.reference.max_response_tokens,
            "scoring": self.settings.scoring.model_dump(exclude={"workers"}),
            "verifier": self.pool.verifier.to_dict(),
        }
        found = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
        for example in self.examples:
            row = [self.reference.prompts.encode(example), example.answer]
            found.update(json.dumps(row).encode())
        for name, weight in sorted(self.reference.model.state_dict().items()):
            found.update(name.encode())
            found.update(weight.detach().cpu().flatten().view(torch.uint8).numpy().tobytes())
        return found.hexdigest()[:16]
