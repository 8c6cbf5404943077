"""A trainer's model and a vLLM beside it."""

from pathlib import Path

import torch
from letters import EOS, LETTERS, VOCABULARY
from torch import Tensor, nn

from jumar.engines.local.forward import response_logprobs
from jumar.engines.local.sampler import Sampled, Sampling
from jumar.engines.vllm.requests import Engine
from jumar.engines.vllm.sampler import Probed, VllmSampler

PROMPTS = [[VOCABULARY[c] for c in f"say {x}"] for x in LETTERS[:6]]
LONGEST = 24  # tokens of a response
TRUNCATED = Sampling(temperature=0.7, top_k=12, top_p=0.8)


def sampler_with(
    engine: Engine, exchange: Path, sampling: Sampling = TRUNCATED, tolerance: float = 1e-3
) -> VllmSampler:
    probed = Probed(prompts=PROMPTS[:4], sampling=sampling, max_tokens=16, eos_ids=[EOS])
    return VllmSampler(engine, exchange, probed, patience=60, tolerance=tolerance)


def drawn(
    sampler: VllmSampler, model: nn.Module, *, prompts: list[list[int]] = PROMPTS, group: int = 8,
    sampling: Sampling = TRUNCATED, seed: int = 0, step: int = 1, order: list[int] | None = None,
    max_tokens: int = LONGEST, eos_ids: tuple[int, ...] = (EOS,),
) -> Sampled:  # fmt: skip
    order = order or list(range(len(prompts)))
    return sampler.sample(
        model, [prompts[i] for i in order], order, group=group, sampling=sampling, seed=seed,
        step=step, max_tokens=max_tokens, eos_ids=eos_ids, pad_id=0,
    )  # fmt: skip


def gaps(model: nn.Module, sampled: Sampled, sampling: Sampling, group: int = 8) -> Tensor:
    """[N] nats between what was reported and what the trainer computes."""
    prompts = [prompt for prompt in PROMPTS for _ in range(group)]
    with torch.no_grad():
        own = response_logprobs(model, prompts, sampled.token_ids, sampled.mask, sampling=sampling)
    return (own - sampled.logprobs).abs()[sampled.mask]


def texts(sampled: Sampled) -> list[tuple[int, ...]]:
    rows = zip(sampled.token_ids, sampled.mask, strict=True)
    return [tuple(ids[mask].tolist()) for ids, mask in rows]


def update(model: nn.Module, size: float, seed: int) -> None:
    """Move every weight that is trained, as an optimiser does."""
    draw = torch.Generator().manual_seed(seed)
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    with torch.no_grad():
        for weight in trained:
            weight.add_(size * torch.randn(weight.shape, generator=draw))
