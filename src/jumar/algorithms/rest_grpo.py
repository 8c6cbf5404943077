"""ReST-GRPO: GRPO on prompts whose rewards are spread; what nearly all responses get alike teaches little.

    kept: groups whose rewards have a std of at least min_std                                  std over n, not n - 1
    the rest is GRPO

Paper: Zhoubian et al. 2025, ReST-RL: Achieving Accurate Code Reasoning of LLMs with Optimized Self-Training and Decoding, arXiv:2508.19576.   Code: https://github.com/THUDM/ReST-RL, experiment/process_gen_data.py (b86959b).
Departs: the filter alone, and at each step. The paper filters once per round of sampling, and then adds prompts that go on from the first lines of a best solution, which is the task's affair; its search with a value model at decoding is no training. min_std = 0.05 is the paper's. The clips and eps = 1e-6 are those of our `grpo`; kl_coef = 0.0 is ours.   Elsewhere: absent from TRL and verl; DAPO's filter asks for right and wrong responses, which for rewards of 0 and 1 is the same in groups of up to 400.   Changes: keep.
"""

from dataclasses import replace

from torch import Tensor

from jumar.algorithm import Algorithm
from jumar.algorithms.grpo import grpo
from jumar.ops.group import group_centred, group_mean
from jumar.pieces import piece
from jumar.schedules import Schedule
from jumar.types import RolloutBatch


def spread_rewards(rollout: RolloutBatch, *, min_std: float) -> Tensor:
    """[B] bool: rows of groups whose rewards differ enough; a group of one does not."""
    centred = group_centred(rollout.rewards, rollout.group_ids)
    return group_mean(centred.square(), rollout.group_ids).sqrt() >= min_std


def rest_grpo(
    *,
    min_std: float = 0.05,
    clip_low: float = 0.2,
    clip_high: float = 0.2,
    kl_coef: float | Schedule = 0.0,
    eps: float = 1e-6,
) -> Algorithm:
    """For rewards with many levels, such as the part of the tests that pass; refilled as DAPO is."""
    plain = grpo(clip_low=clip_low, clip_high=clip_high, kl_coef=kl_coef, eps=eps)
    return replace(plain, name="rest_grpo", keep=piece(spread_rewards, min_std=min_std))
