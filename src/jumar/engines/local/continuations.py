"""What prefixes of responses are worth: fresh responses from inside of them, scored whole."""

from collections.abc import Sequence

import torch
from torch import Tensor

from jumar.engines.local.policy import LocalPolicy
from jumar.engines.local.sampler import Sampling
from jumar.tasks.task import Example, content_hash
from jumar.types import Continuations, RolloutBatch
from jumar.verifiers.pool import ScoringPool


def cut_values(
    batch: RolloutBatch,
    prompts: Sequence[Sequence[int]],
    examples: Sequence[Example],
    request: Continuations,
    *,
    policy: LocalPolicy,
    pool: ScoringPool,
    sampling: Sampling,
) -> Tensor:
    """[B, T]: the share of right responses from before a token; NaN where there is no cut.

    Whatever starts at the same place is sampled together: it has the same room to the limit.
    """
    rows, places = cuts(batch.rollout_logprobs, batch.mask, request).nonzero(as_tuple=True)
    values = torch.full(batch.mask.shape, torch.nan, device=batch.mask.device)
    for place in sorted(set(places.tolist())):
        here = rows[places == place]
        begun = batch.token_ids[here, :place].tolist()
        asked = [examples[row] for row in here.tolist()]
        numbers = batch.sample_ids[here].tolist()
        sampled = policy.continue_from(
            [[*prompts[row], *prefix] for row, prefix in zip(here.tolist(), begun, strict=True)],
            [_named(e, number, place) for e, number in zip(asked, numbers, strict=True)],
            samples=request.samples,
            sampling=sampling,
            max_tokens=policy.max_response_tokens - place,
            seed=batch.seed,
            step=batch.step + 1,
        )
        texts = [
            policy.prompts.decode([*begun[number // request.samples], *ids[mask].tolist()])
            for number, (ids, mask) in enumerate(zip(sampled.token_ids, sampled.mask, strict=True))
        ]
        scores = pool.score(texts, [e for e in asked for _ in range(request.samples)])
        right = torch.tensor([float(score.correct) for score in scores])
        values[here, place] = right.view(len(here), -1).mean(dim=1).to(values)
    return values


def cuts(logprobs: Tensor, mask: Tensor, request: Continuations) -> Tensor:
    """[B, T] bool: every interval-th token less likely than p_max, from the first one on."""
    open_ = mask & (logprobs.exp() < request.p_max)
    return open_ & ((open_.cumsum(dim=1) - 1) % request.interval == 0)


def _named(example: Example, sample: int, place: int) -> int:
    """A number of this prefix's own, for the draws of its continuations."""
    return content_hash(f"{example.prompt_id} {sample} {place}", salt="continuation")
