"""How far a trained policy is from another one, on its own responses."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from jumar.engines.local.forward import micro_batches, response_hidden, row_lengths
from jumar.engines.local.models import lm_head
from jumar.engines.local.policy import LocalPolicy
from jumar.engines.local.sampler import Sampling
from jumar.ops.logprobs import divergence
from jumar.tasks.task import Example

Counts = NDArray[np.float64]


def reverse_kl(
    policy: LocalPolicy,
    other: nn.Module,
    examples: Sequence[Example],
    *,
    samples: int = 1,
    seed: int = 0,
    tokens: int = 8192,
) -> tuple[Counts, Counts]:
    """([P] nats, [P] tokens): KL(policy || other) summed over the tokens of the policy's own
    responses to each prompt, exact over the vocabulary at each of them, at temperature 1.
    """
    sampled = policy.sample(examples, samples=samples, sampling=Sampling(), seed=seed)
    prompts = [policy.prompts.encode(e) for e in examples for _ in range(samples)]
    mask = sampled.mask
    nats = torch.zeros(len(mask), dtype=torch.float64)
    with torch.no_grad():
        for rows in micro_batches(row_lengths(prompts, mask), tokens):
            index = torch.tensor(rows, device=mask.device)
            part = [prompts[row] for row in rows], sampled.token_ids[index], mask[index]
            each = divergence(
                response_hidden(policy.model, *part),
                lm_head(policy.model),
                response_hidden(other, *part),
                lm_head(other),
                kind="reverse_kl",
            )
            owner = index.cpu()[mask[index].nonzero()[:, 0].cpu()]
            nats.index_add_(0, owner, each.double().cpu())
    shape = len(examples), samples
    lengths = mask.sum(dim=1).double().cpu().view(shape).sum(dim=1)
    return nats.view(shape).sum(dim=1).numpy(), lengths.numpy()
