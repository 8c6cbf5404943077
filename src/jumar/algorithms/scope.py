"""SCOPE: right responses teach by themselves, most the unusual ones; wrong ones are corrected by a teacher.

    right: w_i = n_right * PPL_student(y_i)^(1/tau) / sum over right of the same         A_it = w_i
    wrong: w_i = n_wrong * PPL_teacher(y_i)^(-1/tau) / sum over wrong of the same        A_it = w_i (log pi_teacher - log pi_old)
    L     = -1/tokens * sum_i sum_t r_t A_it                     PPL = exp(-mean_t log p), sums within the group

A teacher that finds a wrong response strange has lost its context there, and is listened to less.

Paper: SCOPE: Signal-Calibrated On-Policy Distillation Enhancement with Dual-Path Adaptive Weighting, arXiv:2604.10688.   Code: https://github.com/machine981/SCOPE, verl/trainer/ppo/ray_trainer.py and run_experiment_qwen_1_7b.sh (fcd1ead).
Departs: nothing in the weights, as paper and README have them; the released runs have the student's sign turned around, so that the usual right responses weigh more (as here with a student_sign of minus 1), and their function's own defaults both. The teacher's part is the policy gradient of the reverse KL, as in those runs, which clip it at 0.2 and dually at 3.0; there is no clip here. They add a mean over right tokens to one over all, where here one mean is over all; their right ones have log pi in place of r. At a rollout's first update, the only one there, neither clip nor r matters. The logarithm of r stays within 20 nats.   Elsewhere: absent from TRL and verl.   Changes: teacher.
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
