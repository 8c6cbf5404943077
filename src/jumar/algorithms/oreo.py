"""OREO: make policy and critic agree with the soft Bellman equation at every token of any response.

    u_t = log pi(y_t) - log pi_ref(y_t)              R_t = rewards from token t on
    policy    mean_i mean_t (V_t - R_t + beta (u_t + sg(sum_{k>t} u_k)))^2 + kl_coef * KL(pi || pi_ref), V detached
    critic    mean_i mean_t (V_t - R_t + beta sum_{k>=t} u_k)^2, u detached

Paper: Wang et al. 2024, Offline Reinforcement Learning for LLM Multi-Step Reasoning, arXiv:2412.16145, eq. 8-9.   Code: https://github.com/jwhj/OREO, openrlhf/trainer/pcl_trainer.py.
Departs: token level only, of the paper's token, step and response levels. Critic and policy take their steps from one batch at once, where the code updates the critic first. The paper feeds stored responses; the loss holds whoever sampled.   Elsewhere: absent from TRL and verl.   Changes: value_loss.
"""

from torch import Tensor

from jumar.aggregates import response_mean
from jumar.algorithm import Algorithm, Penalty
from jumar.ops.divergence import Divergence
from jumar.ops.masked import remaining_sum
from jumar.ops.masked import response_mean as mean_over_tokens
from jumar.penalties.kl import requested_divergence
from jumar.pieces import piece, reads
from jumar.schedules import Schedule
from jumar.types import TokenBatch


@reads("ref_logprobs", "values")
def path_consistency(tokens: TokenBatch, *, beta: float) -> Tensor:
    """[B, T]: squared error of the value of each state, as seen by the token that follows it."""
    log_ratio = tokens.logprobs - tokens.ref_logprobs
    own = log_ratio - log_ratio.detach()  # 0, with the gradient of this token alone
    return _error(tokens, log_ratio.detach(), tokens.values.detach(), beta).add(beta * own).square()


@reads("ref_logprobs", "values")
def value_consistency(tokens: TokenBatch, *, beta: float) -> Tensor:
    """[B]: mean over its tokens of the critic's squared error."""
    log_ratio = (tokens.logprobs - tokens.ref_logprobs).detach()
    return mean_over_tokens(_error(tokens, log_ratio, tokens.values, beta).square(), tokens.mask)


def _error(tokens: TokenBatch, log_ratio: Tensor, values: Tensor, beta: float) -> Tensor:
    """[B, T]: value minus what was earned from there on, less what it cost in KL."""
    earned = tokens.token_rewards - beta * log_ratio
    return values - remaining_sum(earned, tokens.mask)


def oreo(*, beta: float = 0.03, kl_coef: float | Schedule = 0.01) -> Algorithm:
    """With a critic and a reference; kl_coef = 0 leaves out the KL over the vocabulary."""
    exact = Divergence(kind="reverse_kl", target="reference")
    kl = Penalty(name="kl", coef=kl_coef, piece=piece(requested_divergence, divergence=exact))
    return Algorithm(
        name="oreo",
        surrogate=piece(path_consistency, beta=beta),
        penalties=(kl,) if kl_coef else (),
        aggregate=piece(response_mean),
        value_loss=piece(value_consistency, beta=beta),
        unit="response",
    )
