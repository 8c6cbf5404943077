"""PF-PPO: PPO on filtered samples; of each group only the best response and the worst are trained on.

    kept of a group: "best_worst"  the responses of largest and of smallest reward
                     "best_random" the best and one other at random            "best"  the best alone
    the rest is PPO with a KL in its reward

A learned reward is most reliable at its extremes, so the noise of the middle is left out.

Paper: Shen and Zhang 2024, Policy Filtration for RLHF to Mitigate Noise in Reward Models, arXiv:2409.06957.   Code: https://github.com/swtheing/PF-PPO-RLHF, openrlhf/trainer/ppo_utils/replay_buffer.py.
Departs: R is the verdict, the paper has a learned reward model. Ties are drawn, the released code takes the first and the last; it also samples from what is kept with replacement, and gives its "random" a weight of 0.1 for each of four others beside 0.4 for the best. lam, clips and critic are those of our `ppo`; kl_coef = 0.01 is the code's.   Elsewhere: absent from TRL; verl's use_pf_ppo resamples by a power of the reward or by the extremes of a batch.   Changes: keep.
"""

from dataclasses import replace
from typing import Literal

from jumar.algorithm import Algorithm
from jumar.algorithms.ppo import ppo
from jumar.filters import extremes
from jumar.pieces import piece


def pf_ppo(
    *,
    kept: Literal["best_worst", "best_random", "best"] = "best_worst",
    clip_low: float = 0.2,
    clip_high: float = 0.2,
    gamma: float = 1.0,
    lam: float = 1.0,
    kl_coef: float = 0.01,
    value_clip: float = 0.2,
    value_coef: float = 0.5,
) -> Algorithm:
    """The more responses to a prompt, the more reliable its extremes; the paper takes 5 to 8."""
    plain = ppo(
        clip_low=clip_low,
        clip_high=clip_high,
        gamma=gamma,
        lam=lam,
        kl_coef=kl_coef,
        value_clip=value_clip,
        value_coef=value_coef,
    )
    return replace(plain, name="pf_ppo", keep=piece(extremes, kept=kept))
