"""DCPO: clip by how likely the token was, and judge rewards by all that the prompt has ever earned.

    1/2 + 1/2 sqrt(max(1 - 4 clip_low / q, 0)) <= r_t <= min(1/2 + 1/2 sqrt(1 + 4 clip_high / q), ratio_max)
    N   = (R_i - mean_g R) / std_g R             T = (R_i - mean R) / std R, over the prompt's n rollouts so far
    A_i = the smaller in size of (n - 1)/n N + 1/n T and 1/n N + (n - 1)/n T     L = mean_i mean_t clipped

q = pi_old(y_t): an unlikely token may move further, by its ratio, before it is clipped. A group that
is all right or all wrong still learns, by T / n, once the prompt has earned both.

Paper: Yang et al. 2025, DCPO: Dynamic Clipping Policy Optimization, arXiv:2509.02333.   Code: https://github.com/lime-RL/DCPO, verl/trainer/ppo/core_algos.py.
Departs: clip_low = 0.16 and clip_high = 0.2 are the paper's, the released script has 0.2 and 0.28. The paper averages a response's tokens, then responses, as here; the released loss mode averages over the tokens of a micro-batch, which depends on how it is cut. ratio_max = 10 and dual_clip = 10 are the code's. A group of one has N = 0, where the code stops.   Elsewhere: absent from TRL and verl.   Changes: surrogate.
"""

import torch
from torch import Tensor

from jumar.aggregates import response_mean
from jumar.algorithm import Algorithm
from jumar.ops.group import group_centred, group_mean, group_std
from jumar.ops.per_prompt import no_prompts, recalled, remembered
from jumar.ops.ratio import ratio
from jumar.pieces import piece, promises, reads
from jumar.surrogates.clipped import dual_clipped
from jumar.types import RolloutBatch, Signals, State, TokenBatch


def smoothed(rollout: RolloutBatch, state: State) -> tuple[Signals, State]:
    """[B]: between the standing in this rollout and that in all rollouts of the prompt."""
    rewards, groups, prompts = rollout.rewards, rollout.group_ids, rollout.prompt_ids
    before, old_mean, old_std = (
        recalled(state, name, prompts, like=rewards) for name in ("times", "mean", "std")
    )
    new_mean, new_std, times = group_mean(rewards, groups), group_std(rewards, groups), before + 1
    mean = (before * old_mean + new_mean) / times
    apart = before / times * (new_mean - old_mean).square()
    std = ((before * old_std.square() + new_std.square() + apart) / times).sqrt()
    now = _standing(group_centred(rewards, groups), new_std)
    ever = torch.where(before > 0, _standing(rewards - mean, std), now)
    mostly_now, mostly_ever = now + (ever - now) / times, ever + (now - ever) / times
    smaller = torch.where(mostly_now.abs() < mostly_ever.abs(), mostly_now, mostly_ever)
    state = remembered(state, prompts, times=times, mean=mean, std=std)
    return Signals(advantages=smaller), state


def _standing(centred: Tensor, std: Tensor) -> Tensor:
    """Distances in units of std; 0 where nothing has ever differed."""
    return torch.where(std > 0, centred / std.masked_fill(std <= 0, 1), 0.0)


@promises("policy_gradient")
@reads("old_logprobs")
def dynamically_clipped(
    tokens: TokenBatch,
    *,
    clip_low: float,
    clip_high: float,
    ratio_max: float,
    dual_clip: float | None,
) -> Tensor:
    """[B, T]: PPO's surrogate between bounds that the token's old probability sets."""
    low, high = dynamic_bounds(tokens.old_logprobs, clip_low, clip_high, ratio_max)
    r = ratio(tokens)
    loss = torch.maximum(-tokens.advantages * r, -tokens.advantages * r.clamp(low, high))
    return dual_clipped(loss, tokens.advantages, dual_clip)


def dynamic_bounds(
    old_logprobs: Tensor, clip_low: float, clip_high: float, ratio_max: float
) -> tuple[Tensor, Tensor]:
    """(lowest, highest) ratio per token: where |pi - q| pi / q, for q = pi_old, reaches the clip."""
    tiny = torch.finfo(old_logprobs.dtype).tiny  # so that 4 clip / q stays finite
    q = old_logprobs.clamp(max=0).exp().clamp(min=tiny**0.5)
    low = 0.5 + 0.5 * (1 - 4 * clip_low / q).clamp(min=0).sqrt()
    return low, (0.5 + 0.5 * (1 + 4 * clip_high / q).sqrt()).clamp(max=ratio_max)


def dcpo(
    *,
    clip_low: float = 0.16,
    clip_high: float = 0.2,
    ratio_max: float = 10.0,
    dual_clip: float | None = 10.0,
) -> Algorithm:
    """Remembers (times, mean, std) of every prompt's rewards; a first rollout is plain GRPO's."""
    return Algorithm(
        name="dcpo",
        init_state=piece(no_prompts, columns=("times", "mean", "std")),
        advantage=piece(smoothed),
        surrogate=piece(
            dynamically_clipped,
            clip_low=clip_low,
            clip_high=clip_high,
            ratio_max=ratio_max,
            dual_clip=dual_clip,
        ),
        aggregate=piece(response_mean),
    )
