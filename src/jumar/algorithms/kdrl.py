"""KDRL: GRPO that is at the same time pulled towards a teacher, less and less as training goes on.

    L = 1/tokens * sum_i sum_t (clipped surrogate of GRPO + c * u^2 / 2)        u = log pi - log pi_teacher
    c = from kl_coef to kl_coef_end in a straight line over kl_steps rollouts, then kl_coef_end

u^2 / 2 (k2) has the gradient of KL(pi || pi_teacher) on samples of pi; u itself (k1) has none.

Paper: Xu et al. 2025, KDRL: Post-Training Reasoning LLMs via Unified Knowledge Distillation and Reinforcement Learning, arXiv:2506.02208.   Code: none released.
Departs: updates in the paper are strictly on-policy, so no ratio is clipped; clip_low = clip_high = 0.2 are ours and act from a rollout's second update on. The schedule is of training steps, here of rollouts. skip_correct is the paper's mask of responses that are right already; that they still count in the mean is ours. The unbiased std and eps = 1e-6 of A are verl's.   Elsewhere: verl's distillation with loss_mode="k2", use_policy_gradient=False and a constant distillation_loss_coef; absent from TRL. AReaL's joint loss adds k1, log pi - log pi_teacher, whose expected gradient is 0 whoever the teacher is.   Changes: teacher.
"""

from dataclasses import replace

from torch import Tensor

from jumar.aggregates import token_mean
from jumar.algorithm import Algorithm, Penalty
from jumar.algorithms.grpo import grpo
from jumar.penalties.kl import sampled_kl
from jumar.pieces import piece, reads
from jumar.schedules import linear
from jumar.types import TokenBatch


@reads("teacher_logprobs")
def teacher_kl(tokens: TokenBatch, *, skip_correct: bool) -> Tensor:
    """[B, T] nats: k2 to the teacher; 0 on right responses if they are skipped."""
    kl = sampled_kl(tokens, kind="k2", other="teacher_logprobs")
    return kl.masked_fill(tokens.correct[:, None], 0) if skip_correct else kl


def kdrl(
    *,
    kl_coef: float = 5e-3,
    kl_coef_end: float = 1e-3,
    kl_steps: int = 80,
    skip_correct: bool = False,
    clip_low: float = 0.2,
    clip_high: float = 0.2,
    eps: float = 1e-6,
) -> Algorithm:
    """The annealed variant; kl_coef_end = kl_coef is a constant pull, skip_correct is KDRL-mask."""
    coef = linear(kl_coef, kl_coef_end, kl_steps)
    return replace(
        grpo(clip_low=clip_low, clip_high=clip_high, kl_coef=0.0, eps=eps),
        name="kdrl",
        penalties=(
            Penalty(
                name="teacher_kl", coef=coef, piece=piece(teacher_kl, skip_correct=skip_correct)
            ),
        ),
        aggregate=piece(token_mean),
    )
