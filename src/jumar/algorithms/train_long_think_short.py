"""Train Long, Think Short: a token budget that shrinks as training goes on, and a reward for meeting it.

    budget = max(1, budget_start * decay^floor(step / every))                                  in tokens
    fit_i  = |y_i| / budget up to the budget, then 1 - (|y_i| - budget) / budget, and 0 from twice of it
    R_i    = correct_coef * verdict + length_coef * fit_i                               A, L as GRPO's

Paper: Hammoud et al. 2025, Train Long, Think Short: Curriculum Learning for Efficient Reasoning, arXiv:2508.08940.   Code: https://github.com/hammoudhasan/curriculum_grpo, which we could not read.
Departs: the prompt there names the budget ("use exactly N tokens"); prompts here do not change with the step, so the policy learns the budget from the reward alone. The reward for the format (0.1) is the verifier's affair. decay = 0.7 is read off their schedule from 256 to 87; correct_coef = 0.6 and length_coef = 0.3 are one of their two settings, the other is 0.3 and 0.6. kl_coef = 0.04 is GRPO's.   Elsewhere: absent from TRL and verl.   Changes: reward.   Also called: curriculum_grpo, tlts.
"""

from dataclasses import replace

from torch import Tensor

from jumar.algorithm import Algorithm
from jumar.algorithms.grpo import grpo
from jumar.pieces import piece
from jumar.schedules import Schedule
from jumar.types import RolloutBatch


def token_budget(step: int, *, start: float, decay: float, every: int) -> float:
    """Tokens, at least 1."""
    return max(1.0, start * decay ** (step // every))


def budget_reward(
    rollout: RolloutBatch,
    *,
    budget_start: float,
    decay: float,
    every: int,
    correct_coef: float,
    length_coef: float,
) -> Tensor:
    """[B]: the verdict, and a triangle over the length whose top is this step's budget."""
    budget = token_budget(rollout.step, start=budget_start, decay=decay, every=every)
    lengths = rollout.mask.sum(dim=1).to(rollout.rewards)
    fit = (1 - (lengths - budget).abs() / budget).clamp(min=0)
    return correct_coef * rollout.rewards + length_coef * fit


def train_long_think_short(
    *,
    budget_start: float = 256.0,
    decay: float = 0.7,
    every: int = 100,
    correct_coef: float = 0.6,
    length_coef: float = 0.3,
    clip_low: float = 0.2,
    clip_high: float = 0.2,
    kl_coef: float | Schedule = 0.04,
    eps: float = 1e-6,
) -> Algorithm:
    """`every` in rollouts: how long a budget lasts before it is multiplied by `decay`."""
    return replace(
        grpo(clip_low=clip_low, clip_high=clip_high, kl_coef=kl_coef, eps=eps),
        name="train_long_think_short",
        reward=piece(
            budget_reward,
            budget_start=budget_start,
            decay=decay,
            every=every,
            correct_coef=correct_coef,
            length_coef=length_coef,
        ),
    )
