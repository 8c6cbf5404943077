"""T-PPO: PPO on responses that are not finished yet; where a window cuts one, the critic stands for the rest.

    d_t = reward_t + gamma V_{t+1} - V_t             V after the last token: 0 if finished, else the last V itself
    A_t = d_t + gamma lam A_{t+1}, whitened          policy: all tokens; critic: finished responses, on their whole return
    the rest is PPO

Paper: Fan et al. 2025, Truncated Proximal Policy Optimization, arXiv:2506.15050.   Code: none released.
Departs: the estimate and the two losses. The paper goes on with a cut response at the next step; our engines begin anew, so `truncated` rows of max_response_tokens are its unfinished ones, and their reward, which no verdict has decided, is 0. lam = 1.0 and the clips are those of our `ppo`, the paper's we have not seen; tokens of unfinished responses count in the mean of the critic's loss.   Elsewhere: absent from TRL and verl, which take a cut response for a finished one.   Changes: advantage.
"""

from dataclasses import replace

import torch
from torch import Tensor

from jumar.advantages.gae import discounted_errors
from jumar.algorithm import Algorithm
from jumar.algorithms.ppo import clipped_value_loss, ppo
from jumar.ops.masked import at_last_token, response_sum, whitened
from jumar.pieces import makes, piece, reads
from jumar.types import RolloutBatch, Signals, State, TokenBatch


@makes("returns")
@reads("old_values")
def extended_advantage(
    rollout: RolloutBatch, state: State, *, gamma: float, lam: float
) -> tuple[Signals, State]:
    """[B, T]: GAE that goes on after a cut as if the last value were to stay; `returns` have no critic."""
    cut = rollout.truncated
    decided = rollout.token_rewards.masked_fill(cut[:, None], 0)
    rollout = rollout.with_columns(token_rewards=decided)
    last = at_last_token(torch.ones_like(rollout.rewards), rollout.mask)
    after = response_sum(rollout.old_values * last, rollout.mask).masked_fill(~cut, 0)
    advantages = discounted_errors(rollout, gamma=gamma, lam=lam, after=after)
    returns = discounted_errors(rollout, gamma=gamma, lam=1.0) + rollout.old_values
    signals = Signals(advantages=whitened(advantages, rollout.mask), columns={"returns": returns})
    return signals, state


@reads("values", "old_values", "returns")
def finished_value_loss(tokens: TokenBatch, *, clip: float, coef: float) -> Tensor:
    """[B, T]: PPO's loss of the critic where the response is finished, else 0."""
    loss = clipped_value_loss(tokens, clip=clip, coef=coef)
    return loss.masked_fill(tokens.truncated[:, None], 0)


def t_ppo(
    *,
    clip_low: float = 0.2,
    clip_high: float = 0.2,
    gamma: float = 1.0,
    lam: float = 1.0,
    value_clip: float = 0.2,
    value_coef: float = 0.5,
) -> Algorithm:
    """Where nothing is cut it is PPO with critic_lam = 1."""
    plain = ppo(
        clip_low=clip_low, clip_high=clip_high, value_clip=value_clip, value_coef=value_coef
    )
    return replace(
        plain,
        name="t_ppo",
        advantage=piece(extended_advantage, gamma=gamma, lam=lam),
        value_loss=piece(finished_value_loss, clip=value_clip, coef=value_coef),
    )
