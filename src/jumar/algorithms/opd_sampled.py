"""OPD-sampled: on-policy distillation by policy gradient; the reward of a token is its teacher's lead.

    A_t = -coef * (log mu(y_t) - log pi_teacher(y_t))                       mu: the policy that sampled
    L   = -1/tokens * sum_i sum_t pi(y_t) / mu(y_t) * A_t

A token answers for itself only: nothing is summed over the future, and there is no baseline. In
expectation the first update is that of `opd`, which needs the teacher's whole distribution.

Paper: Lu and Thinking Machines Lab 2025, On-Policy Distillation, https://thinkingmachines.ai/blog/on-policy-distillation.   Code: https://github.com/thinking-machines-lab/tinker-cookbook, tinker_cookbook/distillation/train_on_policy.py.
Departs: no discounted sum over later tokens (off by default there too), and no reward of the task added, as the released code does where there is one; one mean over all tokens is ours. The ratio is not clipped, but its logarithm stays within 20 nats.   Elsewhere: verl's distillation with loss_mode="k1" and use_policy_gradient=True, which has log pi in place of log mu, clips the ratio and cuts A_t at 10; TRL's experimental IW-OPD with iw_opd_gamma=0 has this gradient at the first update, and no ratio later; AReaL's pure distillation has log pi in place of log mu.   Changes: teacher.
"""

from torch import Tensor

from jumar.algorithm import Algorithm
from jumar.ops.ratio import MAX_LOG_RATIO
from jumar.pieces import piece, reads
from jumar.types import RolloutBatch, Signals, State, TokenBatch


@reads("teacher_logprobs", "rollout_logprobs")
def teacher_lead(rollout: RolloutBatch, state: State, *, coef: float) -> tuple[Signals, State]:
    """[B, T]: coef times the nats by which the teacher finds the token likelier than its sampler."""
    lead = rollout.teacher_logprobs - rollout.rollout_logprobs
    return Signals(advantages=coef * lead), state


@reads("rollout_logprobs")
def importance_sampled(tokens: TokenBatch) -> Tensor:
    """[B, T]: -A pi / mu."""
    log_ratio = tokens.logprobs - tokens.rollout_logprobs
    return -tokens.advantages * log_ratio.clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO).exp()


def opd_sampled(*, coef: float = 1.0) -> Algorithm:
    """One number per token from the teacher is enough; the verifier's verdict is not read."""
    return Algorithm(
        name="opd_sampled",
        advantage=piece(teacher_lead, coef=coef),
        surrogate=piece(importance_sampled),
    )
