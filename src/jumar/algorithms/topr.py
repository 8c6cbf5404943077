"""TOPR: reinforce right responses whole, and wrong ones only as far as the policy still gives them.

    A_i = R_i - baseline,  R_i = +1 or -1            w_i = 1 where A_i >= 0, min(1, pi(y_i) / mu(y_i)) where A_i < 0
    L   = mean_i -sg(w_i) A_i sum_t log pi(y_t)      mu: the policy that sampled, however long ago

Paper: Le Roux et al. 2025, Tapered Off-Policy REINFORCE, arXiv:2503.14286.   Code: none released by the authors that we know of; https://github.com/alibaba/ROLL, roll/pipeline/agentic/agentic_actor_pg_worker.py (level="token").
Departs: nothing in the gradient. Rewards of 0 to 1 become -1 to +1 here; baseline = 0 as in its main runs. An account of its set-up says that its runs divide the loss by the response's length, which the formula does not, and neither do we.   Elsewhere: no such name in TRL 1.16 and verl 0.9.1; verl's rollout correction at rollout_is_threshold=1 has the same weight, and gives it to right responses too. ROLL's `topr` takes the ratio of each token in place of the response's, against the trainer's log-probs, and splits by the score while it weighs by its own advantage: level="token", behaviour="old_logprobs" is its weight.   Changes: token_weight.
"""

from typing import Literal

import torch
from torch import Tensor

from jumar.aggregates import response_sum
from jumar.algorithm import Algorithm
from jumar.ops.masked import response_sum as sum_over_tokens
from jumar.pieces import piece, reads
from jumar.surrogates.score_function import score_function
from jumar.types import RolloutBatch, Signals, State, TokenBatch

Level = Literal["response", "token"]


def signed_reward(rollout: RolloutBatch, state: State, *, baseline: float) -> tuple[Signals, State]:
    """[B]: +1 for a full reward, -1 for none, less the baseline."""
    return Signals(advantages=2 * rollout.rewards - 1 - baseline), state


@reads("{behaviour}")
def tapered_weight(tokens: TokenBatch, *, behaviour: str, level: Level) -> Tensor:
    """[B, T]: 1 for what is reinforced, the ratio up to 1 for what is suppressed."""
    log_ratio = (tokens.logprobs - tokens[behaviour]).detach()
    if level == "response":
        log_ratio = sum_over_tokens(log_ratio, tokens.mask)[:, None]
    return torch.where(tokens.advantages < 0, log_ratio.clamp(max=0).exp(), 1.0)


def topr(
    *,
    baseline: float = 0.0,
    behaviour: Literal["rollout_logprobs", "old_logprobs"] = "rollout_logprobs",
    level: Level = "response",
) -> Algorithm:
    """A baseline between -1 and 1 sets how much right responses count: at -1, wrong ones count nothing.

    `behaviour` is the log-prob of mu: "old_logprobs" where nobody recorded the sampler's.
    """
    return Algorithm(
        name="topr",
        advantage=piece(signed_reward, baseline=baseline),
        token_weight=piece(tapered_weight, behaviour=behaviour, level=level),
        surrogate=piece(score_function),
        aggregate=piece(response_sum),
        unit="response",
    )
