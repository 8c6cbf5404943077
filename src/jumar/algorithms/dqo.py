"""DQO: the policy is a soft Q-function, and both it and a critic are fitted to lambda-returns.

    Q_t  = V_t + beta u_t                            u_t = log pi(y_t) - log pi_ref(y_t)
    G_t  = reward_t - beta u_t + (1 - lam) V_{t+1} + lam G_{t+1}                  V and G after the last token: 0
    L    = 1/tokens * sum_i w_i sum_t [ (Q_t - sg(reward_t + G_{t+1}))^2 + (V_t - sg(G_t))^2 ]
    w_i  = exp(min(sum_t u_t, max_log_weight)), detached; the first term moves the policy, the second the critic

Paper: Ji et al. 2024, Enhancing Multi-Step Reasoning Abilities of Language Models through Direct Q-Function Optimization, arXiv:2410.09302.   Code: none released.
Departs: our copy lacks the paper's equations. Q, the lambda-return with KL in the reward, the importance weight and that lam = 1 did better than 0.95 are in reviews of it and in appendix C of OREO, whose authors rebuilt it; the weight's cap max_log_weight = 1.0 and the reference in place of the sampling policy are of their code. beta = 0.03, the mean over tokens and the stops of the gradient are ours; OREO's authors read it as having none.   Elsewhere: absent from TRL and verl; with lam = 1 and no weights it is OREO without its KL.   Changes: value_loss.
"""

import torch
from torch import Tensor

from jumar.algorithm import Algorithm
from jumar.ops.masked import response_sum
from jumar.ops.ratio import MAX_LOG_RATIO
from jumar.pieces import piece, reads
from jumar.types import TokenBatch
from jumar.weights.unit import unit_weight


@reads("ref_logprobs", "values")
def soft_q_loss(tokens: TokenBatch, *, beta: float, lam: float) -> Tensor:
    """[B, T]: squared error of Q at each token, for the policy alone."""
    log_ratio = tokens.logprobs - tokens.ref_logprobs
    _, later = soft_returns(tokens, beta=beta, lam=lam)
    q = tokens.values.detach() + beta * log_ratio
    return (q - tokens.token_rewards - later).square()


@reads("ref_logprobs", "values")
def soft_value_loss(
    tokens: TokenBatch, *, beta: float, lam: float, max_log_weight: float | None
) -> Tensor:
    """[B, T]: weighed squared error of V at each token, for the critic alone."""
    returns, _ = soft_returns(tokens, beta=beta, lam=lam)
    loss = (tokens.values - returns).square()
    if max_log_weight is None:
        return loss
    return importance_weight(tokens, max_log_weight=max_log_weight) * loss


@reads("ref_logprobs")
def importance_weight(tokens: TokenBatch, *, max_log_weight: float) -> Tensor:
    """[B, T]: how much likelier the whole response has become, capped; the same for each token."""
    total = response_sum((tokens.logprobs - tokens.ref_logprobs).detach(), tokens.mask)
    weight = total.clamp(-MAX_LOG_RATIO, max_log_weight).exp()
    return weight[:, None].expand_as(tokens.mask)


def soft_returns(tokens: TokenBatch, *, beta: float, lam: float) -> tuple[Tensor, Tensor]:
    """[B, T] twice, detached: G from each token on, and G from the token after it on."""
    cost = beta * (tokens.logprobs - tokens.ref_logprobs).detach()
    values, mask = tokens.values.detach(), tokens.mask
    returns, later = torch.zeros_like(values), torch.zeros_like(values)
    next_value = next_return = torch.zeros_like(values[:, 0])
    for t in reversed(range(mask.shape[1])):
        step = tokens.token_rewards[:, t] - cost[:, t]
        now = step + (1 - lam) * next_value + lam * next_return
        returns[:, t], later[:, t] = now, next_return
        next_value = torch.where(mask[:, t], values[:, t], next_value)
        next_return = torch.where(mask[:, t], now, next_return)
    return returns, later


def dqo(*, beta: float = 0.03, lam: float = 1.0, max_log_weight: float | None = 1.0) -> Algorithm:
    """With a critic and a reference; max_log_weight None weighs every response the same."""
    weight = piece(unit_weight)
    if max_log_weight is not None:
        weight = piece(importance_weight, max_log_weight=max_log_weight)
    return Algorithm(
        name="dqo",
        surrogate=piece(soft_q_loss, beta=beta, lam=lam),
        token_weight=weight,
        value_loss=piece(soft_value_loss, beta=beta, lam=lam, max_log_weight=max_log_weight),
        unit="response",
    )
