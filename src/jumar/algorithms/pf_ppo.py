"""PF-PPO: PPO on filtered samples; of each group only the best response and the worst are trained on.

    kept of a group: "best_worst"  the responses of largest and of smallest score
                     "best_random" the best and one other at random            "best"  the best alone
    A, V as in PPO with a KL in its reward, A whitened over all tokens before the filter
    L   = mean over what is kept of mean_t (clipped surrogate(A) + PPO's value loss)

A learned reward is most reliable at its extremes, so the noise of the middle is left out. What is left
out has been compared with all the same: "best" alone is mostly pushed up.

Paper: Shen and Zhang 2024, Policy Filtration for RLHF to Mitigate Noise in Reward Models, arXiv:2409.06957.   Code: https://github.com/swtheing/PF-PPO-RLHF, openrlhf/trainer/ppo_utils/replay_buffer.py (4550d44).
Departs: R is the verdict, the paper has a learned reward model. Ties are drawn, the released code takes the first and the last; it also samples from what is kept with replacement, and gives its "random" a weight of 0.1 for each of four others beside 0.4 for the best. Rows that are left out go through the model with the weight 0, and the others have that of the rollout's share of them. lam = 0.95, kl_coef = 0.01, the clips and the mean over responses of their means are the released run's, which has a biased variance in the whitening; value_coef is that of our `ppo`.   Elsewhere: absent from TRL; verl's use_pf_ppo resamples by a power of the reward or by the extremes of a batch.   Changes: token_weight.
"""

from dataclasses import replace
from typing import Literal

from torch import Tensor

from jumar import aggregates
from jumar.algorithm import Algorithm
from jumar.algorithms.ppo import ppo
from jumar.filters import Kept, extremes
from jumar.ops.masked import response_mean
from jumar.pieces import Piece, makes, piece, promises, reads
from jumar.types import RolloutBatch, Signals, State, TokenBatch


@makes("filter_weights")
def then_filtered(
    rollout: RolloutBatch, state: State, *, advantage: Piece, kept: Kept
) -> tuple[Signals, State]:
    """The advantage of all rows, and [B] what each counts: 0, or rows by rows kept."""
    signals, state = advantage(rollout, state)
    alive = rollout.mask.any(dim=1)
    # by the score as it came: the rewards have a KL in them by now
    left = alive & extremes(rollout.with_columns(rewards=rollout.scores), kept=kept)
    weights = left * (alive.sum() / left.sum().clamp(min=1)).to(rollout.rewards)
    return replace(signals, columns={**signals.columns, "filter_weights": weights}), state


@reads("filter_weights")
def filter_weight(tokens: TokenBatch) -> Tensor:
    """[B, T]: the response's."""
    return tokens.filter_weights[:, None].expand_as(tokens.mask)


@promises("per_response")
@reads("filter_weights")
def filtered_loss(tokens: TokenBatch, *, loss: Piece) -> Tensor:
    """[B]: the mean of another's loss over each response, times what the response counts."""
    return response_mean(loss(tokens) * filter_weight(tokens), tokens.mask)


def pf_ppo(
    *,
    kept: Literal["best_worst", "best_random", "best"] = "best_worst",
    clip_low: float = 0.2,
    clip_high: float = 0.2,
    gamma: float = 1.0,
    lam: float = 0.95,
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
    return replace(
        plain,
        name="pf_ppo",
        advantage=piece(then_filtered, advantage=plain.advantage, kept=kept),
        token_weight=piece(filter_weight),
        value_loss=piece(filtered_loss, loss=plain.value_loss),
        aggregate=piece(aggregates.response_mean),
    )
