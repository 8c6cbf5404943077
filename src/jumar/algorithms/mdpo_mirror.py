"""MDPO-mirror: Mirror Descent Policy Optimization; a KL to the last policy in place of PPO's clip, for ever smaller steps.

    L   = 1/tokens * sum_i sum_t (-A_i r_t + c * (r_t log r_t - r_t + 1))                      r_t = pi(y_t) / pi_old(y_t)
    c   = 1 / t, whose t goes in a straight line from 1 / kl_coef to 1 / kl_coef_end over kl_steps rollouts

On tokens of pi_old, r log r - r + 1 is never negative and estimates KL(pi || pi_old) without bias, its
gradient too. The optimum of one rollout is pi_old exp(t A) / Z, which several updates approach.

Paper: Tomar et al. 2020, Mirror Descent Policy Optimization, arXiv:2005.09814.   Code: https://github.com/manantomar/Mirror-Descent-Policy-Optimization, mdpo_on/mdpo.py (5cdb713).
Departs: A_i is GRPO's, the paper has a critic; its KL is in closed form over all actions. There t = 1 - k / K ends at 0; the released code's at 2 / K; kl_coef = 1.0 is its start, kl_coef_end = 10.0 and kl_steps = 1000 are ours. The released code makes 5 to 10 updates on each rollout, a matter of the recipe (`epochs`).   Elsewhere: absent from TRL and verl, whose `kl_cov` and adaptive KL are others. Another MDPO is a multimodal DPO.   Changes: surrogate.   Also called: mdpo.
"""

from dataclasses import replace

from torch import Tensor

from jumar.aggregates import token_mean
from jumar.algorithm import Algorithm, Penalty
from jumar.algorithms.grpo import grpo
from jumar.ops.ratio import log_ratio, ratio
from jumar.pieces import piece, promises, reads
from jumar.schedules import Schedule
from jumar.types import TokenBatch


@promises("policy_gradient")
@reads("old_logprobs")
def unclipped_surrogate(tokens: TokenBatch) -> Tensor:
    """[B, T]: -A r."""
    return -tokens.advantages * ratio(tokens)


@reads("old_logprobs")
def proximal_kl(tokens: TokenBatch) -> Tensor:
    """[B, T] nats: KL(pi || pi_old) from tokens of pi_old, weighed to be without bias."""
    r = ratio(tokens)
    return r * log_ratio(tokens) - r + 1


def mdpo_mirror(
    *,
    kl_coef: float = 1.0,
    kl_coef_end: float = 10.0,
    kl_steps: int = 1000,
    eps: float = 1e-6,
) -> Algorithm:
    """kl_coef_end = kl_coef is a constant step size; with one update per rollout nothing is held."""
    coef = Schedule(start=kl_coef, end=kl_coef_end, steps=kl_steps, shape="harmonic")
    return replace(
        grpo(kl_coef=0.0, eps=eps),
        name="mdpo_mirror",
        surrogate=piece(unclipped_surrogate),
        penalties=(Penalty(name="proximal_kl", coef=coef, piece=piece(proximal_kl)),),
        aggregate=piece(token_mean),
    )
