"""RTO: PPO whose reward is on every token, namely how much likelier a DPO policy finds it.

    reward_t = clip(dpo_coef * (log pi_dpo - log pi_ref), -dpo_clip, dpo_clip)
               - kl_coef * (log pi_old - log pi_ref) + [t is the last token] R

The log-ratios of a DPO policy add up to its reward of the whole response, so each is the share of its
token. The DPO policy is the teacher; the rest is `ppo`.

Paper: Zhong et al. 2024, DPO Meets PPO: Reinforced Token Optimization for RLHF, arXiv:2404.18922.   Code: https://github.com/zkshan2002/RTO, openrlhf/trainer/ppo_utils/experience_maker.py.
Departs: R is the verdict, where the paper has a learned reward model, normalised and cut at +-10. The coefficients, the clip and lam = 0.95 are the released code's; its means are of each response first, ours, `ppo`'s, over all tokens.   Elsewhere: absent from TRL and verl.   Changes: reward.
"""

from dataclasses import replace

from torch import Tensor

from jumar.algorithm import Algorithm
from jumar.algorithms.ppo import ppo
from jumar.pieces import piece, reads
from jumar.rewards import kl_in_reward
from jumar.types import RolloutBatch


@reads("teacher_logprobs", "old_logprobs", "ref_logprobs")
def dense_reward(
    rollout: RolloutBatch, *, dpo_coef: float, dpo_clip: float, kl_coef: float
) -> Tensor:
    """[B, T]: the DPO policy's reward at each token, and what PPO with a KL has."""
    implicit = dpo_coef * (rollout.teacher_logprobs - rollout.ref_logprobs)
    return implicit.clamp(-dpo_clip, dpo_clip) + kl_in_reward(rollout, kl_coef=kl_coef)


def rto(
    *,
    dpo_coef: float = 0.05,
    dpo_clip: float = 0.05,
    kl_coef: float = 0.01,
    clip_low: float = 0.2,
    clip_high: float = 0.2,
    gamma: float = 1.0,
    lam: float = 0.95,
    value_clip: float = 0.2,
    value_coef: float = 0.5,
) -> Algorithm:
    """dpo_coef = 0 is PPO with a KL in its reward."""
    plain = ppo(
        clip_low=clip_low,
        clip_high=clip_high,
        gamma=gamma,
        lam=lam,
        value_clip=value_clip,
        value_coef=value_coef,
    )
    return replace(
        plain,
        name="rto",
        reward=piece(dense_reward, dpo_coef=dpo_coef, dpo_clip=dpo_clip, kl_coef=kl_coef),
    )
