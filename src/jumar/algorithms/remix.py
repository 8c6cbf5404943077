"""ReMix: train on earlier policies' responses too, clipped around where the policy was, held by two anchors.

    r_t = pi(y_t) / mu(y_t)                          c_t = pi_old(y_t) / mu(y_t)               mu: the policy that sampled
    L   = 1/tokens * sum_i sum_t max(-A_i r_t, -A_i clip(r_t, c_t - clip, c_t + clip))
          + kl_coef * (share * k3(pi, pi_ref) + (1 - share) * k3(pi, pi_old))
    share = 1 for the first 50 rollouts of a stage, then 0.1 less each ten, down to 0.5

PPO's clip around 1 would freeze stale responses whose ratio is far from 1 before any update. The second
half of the method is to go on from step T with the policy of then as reference, on new responses
alone: that is the program `ratchet`.

Paper: Liang et al. 2025, Squeeze the Soaked Sponge: Efficient Off-policy Reinforcement Finetuning for Large Language Model, arXiv:2507.06892.   Code: none released; the project's repository is a page.
Departs: we have others' accounts of its equations, not its text. The loss alone: which part of a batch is old (theirs: 0.4, of the last two policies) is the engine's affair, and ours samples anew, so that c_t = 1 but for rounding. A_i is GRPO's (ReMix-GRPO), the last policy is the one before this rollout's updates, and the two KLs are k3 on sampled tokens. clip = 0.2 and kl_coef = 0.001 are ours, eps = 1e-6 is verl's; the entropy bonus is left out.   Elsewhere: absent from TRL and verl.   Changes: surrogate.
"""

import math
from dataclasses import replace

import torch
from torch import Tensor

from jumar.aggregates import token_mean
from jumar.algorithm import Algorithm, Penalty
from jumar.algorithms.grpo import grpo
from jumar.ops.ratio import MAX_LOG_RATIO
from jumar.penalties.kl import sampled_kl
from jumar.pieces import piece, reads
from jumar.types import TokenBatch


@reads("old_logprobs", "rollout_logprobs")
def mixed_policy_surrogate(tokens: TokenBatch, *, clip: float) -> Tensor:
    """[B, T]: PPO's loss on the ratio to the sampler, clipped around that of the old policy to it."""
    r = _ratio(tokens.logprobs, tokens.rollout_logprobs)
    centre = _ratio(tokens.old_logprobs, tokens.rollout_logprobs)
    near = torch.maximum(torch.minimum(r, centre + clip), centre - clip)
    return torch.maximum(-tokens.advantages * r, -tokens.advantages * near)


def _ratio(logprobs: Tensor, sampler: Tensor) -> Tensor:
    return (logprobs - sampler).clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO).exp()


@reads("old_logprobs", "ref_logprobs")
def convex_kl(tokens: TokenBatch) -> Tensor:
    """[B, T] nats: to the reference and to the last policy, ever more to the latter."""
    share = reference_share(tokens.stage_step)
    reference = sampled_kl(tokens, kind="k3")
    return share * reference + (1 - share) * sampled_kl(tokens, kind="k3", other="old_logprobs")


def reference_share(step: int) -> float:
    """1 down to 0.5, in stairs."""
    return max(1 - 0.1 * math.ceil(max(step - 50, 0) / 10), 0.5)


def remix(*, clip: float = 0.2, kl_coef: float = 1e-3, eps: float = 1e-6) -> Algorithm:
    """Several updates per rollout are part of it (the paper makes two)."""
    return replace(
        grpo(kl_coef=0.0, eps=eps),
        name="remix",
        surrogate=piece(mixed_policy_surrogate, clip=clip),
        penalties=(Penalty(name="convex_kl", coef=kl_coef, piece=piece(convex_kl)),),
        aggregate=piece(token_mean),
    )
