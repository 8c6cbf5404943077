"""From prompts to a rollout: sample, score, keep, refill."""

import hashlib
import math
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import Self

import numpy as np
import torch
from torch import Tensor

from jumar.algorithm import Algorithm
from jumar.engines.local.continuations import cut_values
from jumar.engines.local.curriculum import PromptOrder
from jumar.engines.local.diagnostics import of_rollout
from jumar.engines.local.policy import LocalPolicy
from jumar.engines.local.sampler import Sampled, Sampling
from jumar.engines.local.scoring import EarlyScores
from jumar.engines.settings import EngineSettings
from jumar.errors import DataError
from jumar.tasks.task import Example, content_hash
from jumar.types import RolloutBatch
from jumar.verifiers.pool import ScoringPool
from jumar.verifiers.score import STATUSES, Score


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """The tensors of a rollout, and row by row what they came from."""

    batch: RolloutBatch
    examples: Sequence[Example]
    prompts: Sequence[Sequence[int]]
    texts: Sequence[str]
    scores: Sequence[Score]

    def __len__(self) -> int:
        return len(self.texts)

    def select(self, rows: Tensor) -> Self:
        """Some rows, in the order of an index."""
        index = rows.tolist()
        return type(self)(
            batch=self.batch.select(rows),
            examples=[self.examples[i] for i in index],
            prompts=[self.prompts[i] for i in index],
            texts=[self.texts[i] for i in index],
            scores=[self.scores[i] for i in index],
        )

    def first_rows(self, groups: int) -> list[int]:
        """The rows of the groups that stand first."""
        ids = self.batch.group_ids.tolist()
        first = list(dict.fromkeys(ids))[:groups]
        return [row for row, group in enumerate(ids) if group in first]

    @classmethod
    def concat(cls, parts: Sequence[Self]) -> Self:
        """Rows of several; their groups stay apart."""
        return cls(
            batch=joined([part.batch for part in parts]),
            examples=[e for part in parts for e in part.examples],
            prompts=[p for part in parts for p in part.prompts],
            texts=[t for part in parts for t in part.texts],
            scores=[s for part in parts for s in part.scores],
        )

    def digest(self) -> str:
        """A hash of what was sampled and what it earned."""
        rows = self.batch.token_ids, self.batch.mask, self.batch.rewards
        content = b"".join(column.cpu().contiguous().numpy().tobytes() for column in rows)
        return hashlib.sha256(content).hexdigest()[:16]


def joined(batches: Sequence[RolloutBatch]) -> RolloutBatch:
    """The rows of several batches; their groups stay apart."""
    numbered, first = [], 0
    for batch in batches:
        ids = torch.unique(batch.group_ids, return_inverse=True)[1] + first
        numbered.append(batch.with_columns(group_ids=ids))
        first = int(ids.max()) + 1
    return RolloutBatch.concat(numbered)


@dataclass(frozen=True, slots=True, kw_only=True)
class Collector:
    """Fills one step's rollout."""

    policy: LocalPolicy
    pool: ScoringPool
    algorithm: Algorithm
    settings: EngineSettings
    values: Mapping[str, Mapping[int, float]] = field(default_factory=dict)  # columns by prompt id
    without: Collection[int] = ()  # prompt ids that are left out
    teachers: Sequence[str] = ()  # names of several, one of which each prompt's metadata gives

    def collect(
        self, order: PromptOrder, *, step: int, stage_step: int
    ) -> tuple[Rollout | None, dict[str, float]]:
        """(what is kept, numbers about everything sampled); None where `keep` dropped it all.

        Groups that `keep` drops are replaced by groups of other prompts, in up to `max_refills`
        further rounds; what is missing after that stays missing, and is counted.
        """
        wanted, groups = self.settings.rollout.prompts, 0
        kept: list[Rollout] = []
        seen: list[Rollout] = []
        used: set[int] = set()
        times: defaultdict[str, float] = defaultdict(float)
        while len(seen) <= self.settings.rollout.max_refills:
            rate = max(groups / len(used), 0.125) if used else 1.0
            count = min(wanted, int(np.ceil((wanted - groups) / rate)))
            examples = order.next(count, without={*used, *self.without})
            if not examples:
                break
            used.update(example.prompt_id for example in examples)
            rollout = self.rollout(examples, step=step, stage_step=stage_step, times=times)
            seen.append(rollout)
            keep = self.algorithm.keep(rollout.batch).nonzero()[:, 0]
            if len(keep):
                chosen = rollout.select(keep)
                kept.append(chosen.select(torch.tensor(chosen.first_rows(wanted - groups))))
                groups += len(torch.unique(kept[-1].batch.group_ids))
            if groups == wanted:
                break
        if not seen:
            raise DataError(
                f"The program leaves out all {len(order.examples)} training prompts, but a step "
                "needs some to sample. Nothing would be learned. Keep those that no sample solved "
                "(drop_unsolved=false), or start from a stronger model."
            )
        whole = self._seen_deeper(Rollout.concat(kept), times) if kept else None
        numbers = _numbers(seen) | {f"time/{name}": seconds for name, seconds in times.items()}
        numbers |= {"groups": float(groups), "refills": float(len(seen) - 1)}
        timed = self.pool.statistics()
        numbers |= {f"time/score_{at}": timed[f"seconds_{at}"] for at in ("p50", "p99")}
        return whole, numbers

    def rollout(
        self,
        examples: Sequence[Example],
        *,
        step: int,
        stage_step: int,
        times: defaultdict[str, float],
        responses: int | None = None,
    ) -> Rollout:
        """Sample and score every one of `examples`; nothing is filtered."""
        start = perf_counter()
        settings, given = self.settings.rollout, None
        count = responses or settings.responses
        rows = [example for example in examples for _ in range(count)]
        early = EarlyScores(self.pool, rows, self.policy.prompts.decode)
        if settings.source == "dataset":
            rows, sampled, given = self.policy.prompts.stored(
                examples,
                max_tokens=settings.max_response_tokens,
                device=next(self.policy.model.parameters()).device,
            )
        else:
            sampled = self.policy.sample(
                examples, samples=count, sampling=self._sampling,
                seed=self.settings.seed, step=step, ended=early.ended,
            )  # fmt: skip
        texts = self.policy.texts(sampled)
        times["sample"] += perf_counter() - start
        start = perf_counter()
        scores = early.all(texts) if given is None else given
        times["score"] += perf_counter() - start
        if settings.control == "shuffled_rewards":
            scores = [scores[i] for i in self._shuffled(len(scores), step)]
        encoded = {e.prompt_id: self.policy.prompts.encode(e) for e in examples}
        return Rollout(
            batch=self._batch(rows, sampled, scores, step, stage_step),
            examples=rows,
            prompts=[encoded[example.prompt_id] for example in rows],
            texts=texts,
            scores=scores,
        )

    def _seen_deeper(self, rollout: Rollout, times: defaultdict[str, float]) -> Rollout:
        """With the columns that only a whole rollout can have, where the algorithm reads them."""
        rollout, request = with_parts(rollout), self.algorithm.continuations
        if request is None:
            return rollout
        start = perf_counter()
        values = cut_values(
            rollout.batch, rollout.prompts, rollout.examples, request,
            policy=self.policy, pool=self.pool, sampling=self._sampling,
        )  # fmt: skip
        if self.settings.rollout.control == "shuffled_rewards":
            values = values[self._shuffled(len(values), rollout.batch.step + 1)]
        times["continue"] += perf_counter() - start
        return replace(rollout, batch=rollout.batch.with_columns(cut_values=values))

    @property
    def _sampling(self) -> Sampling:
        given = self.settings.rollout
        return Sampling(temperature=given.temperature, top_p=given.top_p, top_k=given.top_k)

    def _shuffled(self, count: int, step: int) -> list[int]:
        """The numbers below `count` in another order, for a control that must not learn."""
        # a fixed batch draws under a negative step, which is no seed
        order = np.random.default_rng((self.settings.seed, step % 2**64)).permutation(count)
        return [int(number) for number in order]

    def _batch(
        self,
        rows: Sequence[Example],
        sampled: Sampled,
        scores: Sequence[Score],
        step: int,
        stage_step: int,
    ) -> RolloutBatch:
        device = sampled.mask.device
        prompt_ids = torch.tensor([example.prompt_id for example in rows], device=device)
        correct = torch.tensor([score.correct for score in scores], device=device)
        values = torch.tensor([score.score for score in scores], device=device)
        stored = self.settings.rollout.source == "dataset"  # nobody recorded its log-probs
        group_ids = torch.unique(prompt_ids, return_inverse=True)[1]
        if stored:  # a row or pair is a group of its own, whoever shares its prompt
            places: dict[int, int] = {}
            numbers = [places.setdefault(id(row), len(places)) for row in rows]
            group_ids = torch.tensor(numbers, device=device)
        partial = self.settings.scoring.partial_credit or stored
        return RolloutBatch.build(
            step=step - 1,  # of those before this one, as stage_step: a schedule starts at 0
            stage_step=stage_step,
            seed=self.settings.seed,
            token_ids=sampled.token_ids,
            mask=sampled.mask,
            truncated=sampled.truncated,
            scores=values,
            correct=correct,
            rewards=values if partial else correct.float(),
            group_ids=group_ids,
            prompt_ids=prompt_ids,
            sample_ids=sampled.sample_ids.to(device),
            **self._values(rows, device),
            **({} if stored else {"rollout_logprobs": sampled.logprobs}),
            **({} if stored else {"answer_ids": answer_ids(scores).to(device)}),
        )

    def _values(self, rows: Sequence[Example], device: torch.device) -> dict[str, Tensor]:
        found = {
            name: torch.tensor([by_prompt[row.prompt_id] for row in rows], device=device)
            for name, by_prompt in self.values.items()
        }
        if self.teachers:
            routes = [self.teachers.index(row.metadata["teacher"]) for row in rows]
            found["teacher_ids"] = torch.tensor(routes, device=device)
        return found


def answer_ids(scores: Sequence[Score]) -> Tensor:
    """[B] int: equal where the extracted answers are the same text, or where there is none."""
    return torch.tensor([content_hash(repr(score.extracted)) for score in scores])


def with_parts(rollout: Rollout) -> Rollout:
    """With the column `reward_parts`, a part of the score each, in the order of their names."""
    names = sorted({name for score in rollout.scores for name in score.rewards})
    rows = [[score.rewards.get(name, math.nan) for name in names] for score in rollout.scores]
    parts = torch.tensor(rows, device=rollout.batch.mask.device).view(len(rollout), len(names))
    return replace(rollout, batch=rollout.batch.with_columns(reward_parts=parts))


def _numbers(seen: Sequence[Rollout]) -> dict[str, float]:
    """What was sampled, before `keep`: means over responses, fractions of them, and totals."""
    every = Rollout.concat(seen)
    batch = every.batch
    lengths = batch.mask.sum(dim=1)
    statuses = Counter(score.status for score in every.scores)
    parts = {name for score in every.scores for name in score.rewards}
    return {
        "reward": float(batch.rewards.mean()),
        "score": float(batch.scores.mean()),
        "pass@1": float(batch.correct.float().mean()),
        **_sampled_entropy(batch),
        "response_tokens": float(lengths.float().mean()),
        **of_rollout(batch),
        "truncated": float(batch.truncated.float().mean()),
        "sampled_tokens": float(lengths.sum()),
        **{f"status/{s}": statuses[s] / len(every) for s in STATUSES},
        "backstops": float(statuses["timed_out"]),  # of another machine's speed, perhaps
        **{
            f"reward/{name}": float(np.mean([s.rewards.get(name, 0.0) for s in every.scores]))
            for name in sorted(parts)
        },
    }


def _sampled_entropy(batch: RolloutBatch) -> dict[str, float]:
    """The mean of -log mu over sampled tokens: an unbiased estimate that costs nothing."""
    if "rollout_logprobs" not in batch:
        return {}
    return {"entropy": float(-batch.rollout_logprobs.sum() / batch.mask.sum().clamp(min=1))}
