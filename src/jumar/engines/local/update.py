"""From a rollout to new weights: columns, signals, optimiser steps of micro-batches.

The split into micro-batches never changes a result: a micro-batch's loss is its share of the loss
of the whole optimiser step, and gradients add up.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import perf_counter

import numpy as np
import torch
from torch import Tensor, nn

from jumar.algorithm import Algorithm, compute_signals, policy_loss, reduced_stats
from jumar.engines.local.diagnostics import ByToken, by_token, of_update
from jumar.engines.local.distributed import gathered, total
from jumar.engines.local.forward import (
    group_spreads,
    placed,
    response_entropies,
    response_hidden,
    response_logprobs,
    response_values,
)
from jumar.engines.local.guard import Guard
from jumar.engines.local.micro_batches import dealt_splits
from jumar.engines.local.models import critic_values, lm_head
from jumar.engines.local.packing import Prompts
from jumar.engines.local.sampler import Sampling
from jumar.engines.local.sharding import summed_and_clipped
from jumar.engines.settings import EngineSettings
from jumar.ops.divergence import Divergence, kl_estimate
from jumar.ops.logprobs import divergence, token_logprobs
from jumar.types import LossScale, Metrics, RolloutBatch, State, TokenBatch, sum_metrics


@dataclass(slots=True, kw_only=True)
class Models:
    """The policy and what it is compared with; None where the algorithm reads none."""

    policy: nn.Module
    reference: nn.Module | None = None
    teachers: Sequence[nn.Module] = ()  # several: a prompt has one of them, by `teacher_ids`
    critic: nn.Module | None = None

    def target(self, request: Divergence) -> nn.Module | None:
        """The model that a divergence is measured against."""
        teacher = self.teachers[0] if self.teachers else None
        return {"reference": self.reference, "teacher": teacher}.get(request.target or "")


@dataclass(slots=True, kw_only=True)
class Updater:
    """Trains the policy, and the critic where there is one, on one rollout at a time."""

    algorithm: Algorithm
    models: Models
    settings: EngineSettings
    optimisers: Sequence[torch.optim.Optimizer]
    directory: Path
    watched: dict[int, ByToken] = field(default_factory=dict)  # by row of the rollout

    @property
    def sampling(self) -> Sampling:
        """The distribution whose log-probs everything is about."""
        rollout = self.settings.rollout
        return Sampling(temperature=rollout.temperature, top_p=rollout.top_p, top_k=rollout.top_k)

    @property
    def _guard(self) -> Guard:
        return Guard(self.algorithm.name, self.directory)

    def update(
        self, batch: RolloutBatch, prompts: Prompts, state: State, watch: Collection[int] = ()
    ) -> tuple[State, dict[str, float]]:
        """One rollout: its signals, then epochs x minibatches optimiser steps.

        What the last of them did to each token of the rows in `watch` is in `watched` after.
        """
        start = perf_counter()
        self.watched = {row: {} for row in watch}
        batch, state, about = self.with_signals(self.with_columns(batch, prompts), state)
        forward, metrics, norms = perf_counter() - start, [about], []
        for rows in self._minibatches(batch):
            parts, norm = self.step(batch, prompts, rows)
            metrics += parts
            norms.append(norm)
        found = gathered(list(self.watched.items())) if watch else []
        self.watched = {row: numbers for pairs in found for row, numbers in pairs if numbers}
        numbers = means(metrics)
        if "ref_logprobs" in batch and "rollout_logprobs" in batch:
            tokens = batch.mask.sum().clamp(min=1)
            kl = kl_estimate(batch.rollout_logprobs, batch.ref_logprobs, kind="k3")
            numbers.setdefault("kl", float((kl * batch.mask).sum() / tokens))
        numbers["time/forward"] = forward  # by frozen models; the rest of the update is training
        return state, numbers | {"grad_norm": float(np.mean(norms))}

    def with_columns(self, batch: RolloutBatch, prompts: Prompts) -> RolloutBatch:
        """Scores by frozen models, and the critic's values as they are now."""
        models, limit = self.models, self.settings.optimiser.micro_batch_tokens
        rows = prompts, batch.token_ids, batch.mask
        wanted: dict[str, nn.Module | None] = {
            "ref_logprobs": models.reference,
            "old_logprobs": models.policy if self._needs_old_pass() else None,
        }
        columns = {}
        with torch.no_grad():
            for name, model in wanted.items():
                if model is not None and name in self.algorithm.reads and name not in batch:
                    columns[name] = response_logprobs(
                        model, *rows, sampling=self.sampling, tokens=limit
                    )
            if (
                models.teachers
                and "teacher_logprobs" in self.algorithm.reads - batch.columns.keys()
            ):
                columns["teacher_logprobs"] = self._by_teachers(batch, prompts)
            if "position_spread" in self.algorithm.reads - batch.columns.keys():
                columns["position_spread"] = group_spreads(
                    models.policy,
                    *rows,
                    batch.group_ids,
                    temperature=self.settings.rollout.temperature,
                )
            if "old_entropies" in self.algorithm.reads:
                columns["old_entropies"] = response_entropies(
                    models.policy, *rows, temperature=self.sampling.temperature, tokens=limit
                )
            if models.critic is not None:
                columns["old_values"] = response_values(models.critic, *rows, tokens=limit)
        batch = batch.with_columns(**columns)
        self._guard.check_columns(batch)
        return batch

    def _by_teachers(self, batch: RolloutBatch, prompts: Prompts) -> Tensor:
        """[B, T] nats: each row by the teacher of its prompt."""
        several = len(self.models.teachers) > 1
        mine = batch.teacher_ids if several else torch.zeros_like(batch.group_ids)
        scored = torch.zeros(batch.mask.shape, device=batch.mask.device)
        for number, teacher in enumerate(self.models.teachers):
            rows = (mine == number).nonzero()[:, 0]
            if len(rows):
                found = response_logprobs(
                    teacher,
                    [prompts[row] for row in rows.tolist()],
                    batch.token_ids[rows],
                    batch.mask[rows],
                    sampling=self.sampling,
                    tokens=self.settings.optimiser.micro_batch_tokens,
                )
                scored = scored.to(found.dtype).index_copy(0, rows, found)
        return scored

    def with_signals(
        self, batch: RolloutBatch, state: State
    ) -> tuple[RolloutBatch, State, Metrics]:
        """Advantages and what else the algorithm makes of whole groups."""
        signals, state = compute_signals(self.algorithm, batch, state)
        batch = batch.with_columns(**signals.columns, advantages=signals.advantages)
        self._guard.check_columns(batch)
        return batch, state, signals.metrics

    def _needs_old_pass(self) -> bool:
        """With one update per rollout the old policy is the current one, and no pass is needed."""
        optimiser = self.settings.optimiser
        early = self.algorithm.reward.reads | self.algorithm.advantage.reads
        return optimiser.minibatches * optimiser.epochs > 1 or "old_logprobs" in early

    def _minibatches(self, batch: RolloutBatch) -> Iterator[Tensor]:
        """Row indices of each optimiser step: whole groups, dealt out anew in each epoch."""
        groups = torch.unique(batch.group_ids).cpu().numpy()
        optimiser = self.settings.optimiser
        for epoch in range(optimiser.epochs):
            dealt = np.random.default_rng((self.settings.seed, batch.step, epoch)).permutation(
                groups
            )
            for part in np.array_split(dealt, min(optimiser.minibatches, len(groups))):
                ids = torch.from_numpy(part).to(batch.group_ids)
                yield torch.isin(batch.group_ids, ids).nonzero()[:, 0]

    def step(
        self, batch: RolloutBatch, every_prompt: Prompts, rows: Tensor
    ) -> tuple[list[Metrics], float]:
        """One optimiser step on some rows: metrics of its micro-batches, and the gradient norm."""
        whole = batch.select(rows)
        prompts = [every_prompt[i] for i in rows.tolist()]
        groups = whole.group_ids.tolist() if self.algorithm.unit == "group" else None
        limit = self.settings.optimiser.micro_batch_tokens
        splits = dealt_splits(self.models.policy, whole, prompts, limit, groups)
        stats: Metrics = {}
        if self.algorithm.batch_stats is not None:
            with torch.no_grad():
                parts = [self.tokens(batch, prompts, split) for split, batch in splits]
                stats = total(reduced_stats(self.algorithm, parts))
        scale = LossScale.of(whole, stats)
        for optimiser in self.optimisers:
            optimiser.zero_grad(set_to_none=True)
        self.watched |= {row: {} for row in rows.tolist() if row in self.watched}
        metrics: list[Metrics] = []
        for split, batch in splits:
            tokens = replace(self.tokens(batch, prompts, split), stats=stats)
            tokens.logprobs.retain_grad()  # what the loss does to each token, for diagnostics
            self._guard.check("log-prob", tokens.logprobs.detach().sum(), whole)
            output = policy_loss(self.algorithm, tokens, scale)
            self._guard.check("loss", output.loss, whole)
            output.loss.backward()  # type: ignore[no-untyped-call]
            metrics += [output.metrics, of_update(self.algorithm, tokens, scale)]
            for place, row in enumerate(rows[split].tolist()):
                if row in self.watched and batch is whole:
                    self.watched[row] = by_token(self.algorithm, tokens, place)
        norm = self._summed_and_clipped(whole)
        for optimiser in self.optimisers:
            optimiser.step()
        return [total(sum_metrics(metrics))], norm

    def tokens(
        self,
        whole: RolloutBatch,
        prompts: Prompts,
        split: Sequence[int],
        hidden: Tensor | None = None,
    ) -> TokenBatch:
        """Some rows with everything that carries a gradient, from one forward of each model.

        `hidden` [N, D] are the policy's states, where somebody has them already.
        """
        batch = whole.select(torch.tensor(split, device=whole.mask.device))
        rows = [prompts[i] for i in split], batch.token_ids, batch.mask
        sampling, ids = self.sampling, batch.token_ids[batch.mask]
        hidden = response_hidden(self.models.policy, *rows) if hidden is None else hidden
        logprobs = placed(
            token_logprobs(
                hidden,
                lm_head(self.models.policy),
                ids,
                temperature=sampling.temperature,
                top_k=sampling.top_k,
                top_p=sampling.top_p,
            ),
            batch.mask,
        )
        columns = {"logprobs": logprobs}
        if "old_logprobs" in self.algorithm.reads and "old_logprobs" not in batch:
            columns["old_logprobs"] = logprobs.detach()
        for request in self.algorithm.divergences:
            columns[request.column] = placed(self._divergence(request, hidden, rows), batch.mask)
        if self.models.critic is not None:
            states = response_hidden(self.models.critic, *rows)
            columns["values"] = placed(critic_values(self.models.critic, states), batch.mask)
        return TokenBatch(
            columns=batch.columns, step=batch.step, stage_step=batch.stage_step, seed=batch.seed
        ).with_columns(**columns)

    def _divergence(
        self,
        request: Divergence,
        hidden: Tensor,
        rows: tuple[Prompts, Tensor, Tensor],
    ) -> Tensor:
        other = self.models.target(request)
        other_hidden = None
        if other is not None:
            with torch.no_grad():
                other_hidden = response_hidden(other, *rows)
        return divergence(
            hidden,
            lm_head(self.models.policy),
            other_hidden,
            lm_head(other) if other is not None else None,
            kind=request.kind,
            beta=request.beta,
            top_k=request.top_k or 0,
            temperature=self.sampling.temperature,
        )

    def _summed_and_clipped(self, batch: RolloutBatch) -> float:
        """The policy's gradient norm before clipping; each model is clipped by its own norm."""
        limit, critic = self.settings.optimiser.max_grad_norm, self.models.critic
        norm = summed_and_clipped(self.models.policy, limit)
        self._guard.check("gradient norm", norm, batch)
        if critic is not None:
            self._guard.check("critic's gradient norm", summed_and_clipped(critic, limit), batch)
        return float(norm)


def means(parts: Sequence[Metrics]) -> dict[str, float]:
    """Each metric's sum over its count; what counted nothing is left out."""
    totals = sum_metrics(parts).items()
    return {name: float(total / count) for name, (total, count) in totals if count > 0}
