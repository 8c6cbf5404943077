"""How far a trained policy is from another one, on its own responses."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from jumar.engines.local.forward import response_hidden
from jumar.engines.local.micro_batches import work
from jumar.engines.local.models import lm_head
from jumar.engines.local.policy import LocalPolicy
from jumar.engines.local.sampler import Sampling
from jumar.ops.logprobs import DivergenceKind, divergence
from jumar.tasks.task import Example

Counts = NDArray[np.float64]


def own_divergences(
    policy: LocalPolicy,
    other: nn.Module,
    examples: Sequence[Example],
    kinds: Sequence[DivergenceKind],
    *,
    samples: int = 1,
    seed: int = 0,
    tokens: int = 8192,
) -> tuple[dict[str, Counts], Counts]:
    """({kind: [P] nats}, [P] tokens): divergences of `policy` from `other`, summed over the tokens
    of the policy's own responses to each prompt, exact over the vocabulary, at temperature 1.
    """
    sampled = policy.sample(examples, samples=samples, sampling=Sampling(), seed=seed)
    prompts = [policy.prompts.encode(e) for e in examples for _ in range(samples)]
    mask = sampled.mask
    nats = {kind: torch.zeros(len(mask), dtype=torch.float64) for kind in kinds}
    with torch.no_grad():
        for rows in work(policy.model, prompts, mask, tokens).micro_batches(tokens):
            index = torch.tensor(rows, device=mask.device)
            part = [prompts[row] for row in rows], sampled.token_ids[index], mask[index]
            ours, theirs = (response_hidden(m, *part) for m in (policy.model, other))
            heads = lm_head(policy.model), lm_head(other)
            owner = index.cpu()[mask[index].nonzero()[:, 0].cpu()]
            for kind in kinds:
                each = divergence(ours, heads[0], theirs, heads[1], kind=kind)
                nats[kind].index_add_(0, owner, each.double().cpu())
    shape = len(examples), samples
    lengths = mask.sum(dim=1).double().cpu().view(shape).sum(dim=1)
    return {k: n.view(shape).sum(dim=1).numpy() for k, n in nats.items()}, lengths.numpy()
