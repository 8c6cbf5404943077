"""SCOPE: right responses teach by themselves, most the unusual ones; wrong ones are corrected by a teacher.

    right: w_i = n_right * PPL_student(y_i)^(1/tau) / sum over right of the same         A_it = w_i
    wrong: w_i = n_wrong * PPL_teacher(y_i)^(-1/tau) / sum over wrong of the same        A_it = w_i (log pi_teacher - log pi_old)
    L     = -1/tokens * sum_i sum_t r_t A_it                     PPL = exp(-mean_t log p), sums within the group

A teacher that finds a wrong response strange has lost its context there, and is listened to less.

Paper: SCOPE: Signal-Calibrated On-Policy Distillation Enhancement with Dual-Path Adaptive Weighting, arXiv:2604.10688.   Code: https://github.com/machine981/SCOPE, verl/trainer/ppo/ray_trainer.py.
Departs: nothing in the weights, as paper and README have them; the released function has both signs turned around under its own defaults, so that the usual right and the strange wrong responses weigh more (as here with both signs the other way round). The teacher's part is the policy gradient of the reverse KL, one of several that the code offers. The code adds a mean over right tokens and one over wrong ones, where here one mean is over all; its right ones have log pi in place of r, which is the same at a rollout's first update. The logarithm of r stays within 20 nats.   Elsewhere: absent from TRL and verl.   Changes: teacher.
"""

import torch
from torch import Tensor

from jumar.algorithm import Algorithm
from jumar.ops.group import distinct, group_min, group_size, group_sum
from jumar.ops.masked import response_mean
from jumar.ops.ratio import ratio
from jumar.pieces import piece, promises, reads
from jumar.types import RolloutBatch, Signals, State, TokenBatch


@reads("old_logprobs", "teacher_logprobs")
def two_paths(
    rollout: RolloutBatch,
    state: State,
    *,
    tau: float,
    student_sign: float,
    teacher_sign: float,
) -> tuple[Signals, State]:
    """[B, T]: a right response's weight, a wrong one's weight times its teacher's lead in nats."""
    student = -student_sign * response_mean(rollout.old_logprobs, rollout.mask) / tau
    teacher = -teacher_sign * response_mean(rollout.teacher_logprobs, rollout.mask) / tau
    alike = distinct(rollout.group_ids, rollout.correct.long())
    weight = mean_one_softmax(torch.where(rollout.correct, student, teacher), alike)[:, None]
    lead = rollout.teacher_logprobs - rollout.old_logprobs
    return Signals(advantages=weight * torch.where(rollout.correct[:, None], 1.0, lead)), state


def mean_one_softmax(x: Tensor, group_ids: Tensor) -> Tensor:
    """[B]: exp(x) over its mean in the group."""
    mass = (x + group_min(-x, group_ids)).exp()
    return mass * group_size(group_ids) / group_sum(mass, group_ids)


@promises("policy_gradient")
@reads("old_logprobs")
def importance_weighted(tokens: TokenBatch) -> Tensor:
    """[B, T]: -A r."""
    return -tokens.advantages * ratio(tokens)


def scope(*, tau: float = 1.0, student_sign: float = 1.0, teacher_sign: float = -1.0) -> Algorithm:
    """A sign of 0 gives every response of that path the weight 1."""
    return Algorithm(
        name="scope",
        advantage=piece(two_paths, tau=tau, student_sign=student_sign, teacher_sign=teacher_sign),
        surrogate=piece(importance_weighted),
    )
