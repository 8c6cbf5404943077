"""SPO segment: credit for stretches of a response, by how much its chance of success changed there.

    V(prefix): mean reward of n fresh responses from there, at every interval-th token with pi_mu < p_max
    A_t  = V(next cut) - V(last cut at or before t), the response's own R after the last cut; 0 before the first
    L    = mean over tokens with pi_old < p_max of the clipped surrogate of A, whitened over them,
           + kl_coef * mean over responses of the sum of k3 over such tokens

Tokens that were nearly certain chose nothing, so they are neither credited nor counted.

Paper: Guo et al. 2025, Segment Policy Optimization: Effective Segment-Level Credit Assignment in RL for Large Language Models, arXiv:2505.23564.   Code: https://github.com/AIFrameResearch/SPO, src/treetune/trainers/ppo_trainer.py (b9fc6a2).
Departs: the chain only; the tree needs a sampler that branches. The cuts are read from the sampler's log-probs (pi_mu), the mask from the trainer's. samples = 9, interval = 5 and p_max = 0.9 are the released configuration's, and kl_coef = 1e-4 is one of the values in it; it bounds each token's k3 at 10 nats, we do not. The mean over the tokens of the mask is taken over the optimiser step.   Elsewhere: absent from TRL and verl.   Changes: advantage.   Also called: spo.
"""

import math

import torch
from torch import Tensor

from jumar.aggregates import response_sum
from jumar.algorithm import Algorithm, Penalty
from jumar.ops.masked import whitened
from jumar.penalties.kl import sampled_kl
from jumar.pieces import piece, reads
from jumar.schedules import Schedule
from jumar.surrogates.clipped import clipped_surrogate
from jumar.types import Continuations, Metrics, RolloutBatch, Signals, State, TokenBatch


def uncertain(batch: RolloutBatch | TokenBatch, p_max: float) -> Tensor:
    """[B, T] bool: tokens that something else could have stood in place of."""
    return batch.mask & (batch.old_logprobs < math.log(p_max))


@reads("cut_values", "old_logprobs")
def segment_advantage(
    rollout: RolloutBatch, state: State, *, cuts: Continuations
) -> tuple[Signals, State]:
    """[B, T]: the change of value over the token's segment, whitened over uncertain tokens."""
    counted = uncertain(rollout, cuts.p_max)
    change = segment_change(rollout.cut_values, rollout.mask, rollout.rewards)
    return Signals(advantages=whitened(change, counted)), state


def segment_change(values: Tensor, mask: Tensor, rewards: Tensor) -> Tensor:
    """[B, T]: value at the end of each token's segment less that at its start; NaN is no cut."""
    length = mask.shape[1]
    known = mask & ~values.isnan()
    position = torch.arange(length, device=mask.device).expand(mask.shape)
    start = position.where(known, -1).cummax(dim=1).values
    after = position.where(known, length).flip(1).cummin(dim=1).values.flip(1)
    end = torch.cat([after[:, 1:], torch.full_like(after[:, :1], length)], dim=1)
    ahead = torch.cat([values.nan_to_num(), rewards[:, None].to(values)], dim=1)
    change = ahead.gather(1, end) - ahead.gather(1, start.clamp(min=0))
    return change.where((start >= 0) & mask, 0)


@reads("old_logprobs")
def uncertain_count(tokens: TokenBatch, *, p_max: float) -> Metrics:
    """How many tokens of the step are counted, of how many."""
    return {"uncertain": (uncertain(tokens, p_max).sum(), tokens.mask.sum())}


@reads("old_logprobs")
def uncertain_weight(tokens: TokenBatch, *, p_max: float) -> Tensor:
    """[B, T]: 0 on the certain ones, and on others what makes the mean one over them alone."""
    some, every = tokens.stats["uncertain"]
    return uncertain(tokens, p_max) * (every / some.clamp(min=1)).to(tokens.logprobs)


@reads("old_logprobs", "ref_logprobs")
def uncertain_kl(tokens: TokenBatch, *, p_max: float) -> Tensor:
    """[B, T] nats: distance to the reference, 0 on tokens that were nearly certain."""
    return sampled_kl(tokens, kind="k3") * uncertain(tokens, p_max)


def spo_segment(
    *,
    samples: int = 9,
    interval: int = 5,
    p_max: float = 0.9,
    clip_low: float = 0.2,
    clip_high: float = 0.2,
    kl_coef: float | Schedule = 1e-4,
) -> Algorithm:
    """Costs `samples` short responses per cut; `interval` counts uncertain tokens between cuts."""
    cuts = Continuations(samples=samples, interval=interval, p_max=p_max)
    kl = Penalty(
        name="kl",
        coef=kl_coef,
        piece=piece(uncertain_kl, p_max=p_max),
        aggregate=piece(response_sum),
    )
    return Algorithm(
        name="spo_segment",
        advantage=piece(segment_advantage, cuts=cuts),
        batch_stats=piece(uncertain_count, p_max=p_max),
        token_weight=piece(uncertain_weight, p_max=p_max),
        surrogate=piece(clipped_surrogate, clip_low=clip_low, clip_high=clip_high),
        penalties=(kl,) if kl_coef else (),
    )
