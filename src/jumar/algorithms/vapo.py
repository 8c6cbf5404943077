"""VAPO: PPO whose critic sees to the end, whose policy sees further the longer the response, and who imitates success.

    lam_i  = max(0, 1 - 1 / (alpha |y_i|))           A as in PPO with lam_i, returns with critic_lam
    L      = clipped surrogate(A) + value loss of PPO + nll_coef * mean over tokens of correct responses of -log pi(y_t)

Paper: Yue et al. 2025, VAPO: Efficient and Reliable Reinforcement Learning for Advanced Reasoning Tasks, arXiv:2504.05118.   Code: none released.
Departs: the paper trains the critic alone before the policy, which no program does yet, and takes 16 responses to each prompt, which is the recipe's to say. The formula of lam_i is negative below 1 / alpha tokens; the floor of 0 is of other implementations. Value clip and value_coef are those of our `ppo`, and so is the whitening.   Elsewhere: absent from TRL and verl; NeMo-RL and AReaL have lam_i.   Changes: advantage.
"""

from dataclasses import replace

from torch import Tensor

from jumar.advantages.gae import generalised_advantage
from jumar.algorithm import Algorithm, Penalty
from jumar.algorithms.ppo import ppo
from jumar.ops.masked import response_sum, token_counts
from jumar.pieces import makes, piece, reads
from jumar.schedules import Schedule
from jumar.surrogates.likelihood import negative_log_likelihood
from jumar.types import LossScale, Metrics, RolloutBatch, Signals, State, TokenBatch


def length_adaptive_lambda(lengths: Tensor, *, alpha: float) -> Tensor:
    """[B]: errors count for about alpha times the response's length in tokens, at least for one."""
    return (1 - 1 / (alpha * lengths)).clamp(min=0)


@makes("returns")
@reads("old_values")
def length_adaptive_advantage(
    rollout: RolloutBatch, state: State, *, gamma: float, alpha: float, critic_lam: float
) -> tuple[Signals, State]:
    """[B, T]: whitened GAE, each response with a lambda of its own."""
    lengths = token_counts(rollout.mask).to(rollout.rewards.dtype)
    lam = length_adaptive_lambda(lengths, alpha=alpha)
    return generalised_advantage(rollout, state, gamma=gamma, lam=lam, critic_lam=critic_lam)


def correct_token_counts(tokens: TokenBatch) -> Metrics:
    """How many tokens of the step are in correct responses."""
    return {"correct_tokens": (_correct(tokens).sum(), tokens.mask.sum())}


def correct_token_mean(loss: Tensor, tokens: TokenBatch, scale: LossScale) -> Tensor:
    """Scalar: the mean over the tokens of the step's correct responses."""
    count, _ = scale.stats["correct_tokens"]
    return response_sum(loss, _correct(tokens)).sum() / count.clamp(min=1)


def _correct(tokens: TokenBatch) -> Tensor:
    """[B, T] bool: tokens of correct responses."""
    return tokens.mask & tokens.correct[:, None]


def vapo(
    *,
    clip_low: float = 0.2,
    clip_high: float = 0.28,
    gamma: float = 1.0,
    alpha: float = 0.05,
    critic_lam: float = 1.0,
    nll_coef: float | Schedule = 0.1,
    value_clip: float = 0.2,
    value_coef: float = 0.5,
) -> Algorithm:
    """nll_coef = 0 is PPO with the two lambdas alone."""
    plain = ppo(
        clip_low=clip_low, clip_high=clip_high, value_clip=value_clip, value_coef=value_coef
    )
    likelihood = Penalty(
        name="nll",
        coef=nll_coef,
        piece=piece(negative_log_likelihood),
        aggregate=piece(correct_token_mean),
    )
    return replace(
        plain,
        name="vapo",
        advantage=piece(length_adaptive_advantage, gamma=gamma, alpha=alpha, critic_lam=critic_lam),
        penalties=(likelihood,) if nll_coef else (),
        batch_stats=piece(correct_token_counts) if nll_coef else None,
    )
