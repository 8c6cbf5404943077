"""SEED-GRPO: the more the answers to a prompt differ in meaning, the smaller its update.

    p_k = share of answer k: sum over its responses of exp(mean_t log pi_old), over the whole group's
    SE  = -1/K * sum_k log p_k                                          K different answers of n responses
    A_i = (R_i - mean_g R) * max(0, 1 - alpha * SE / log n)                              L as Dr. GRPO's

Paper: Chen et al. 2025, SEED-GRPO: Semantic Entropy Enhanced GRPO for Uncertainty-Aware Policy Optimization, arXiv:2505.12346.   Code: none released that we could read.
Departs: we have others' accounts of the paper, not its text. alpha = 0.0417 is that of one re-implementation, whose other shapes of the factor (exponential, focal) are left out; answers mean the same where their text is the same; length = 3000 is `dr_grpo`'s.   Elsewhere: absent from TRL and verl.   Changes: advantage.
"""

from torch import Tensor

from jumar.advantages.group import group_mean_baseline
from jumar.aggregates import fixed_length_mean
from jumar.algorithm import Algorithm
from jumar.ops.group import distinct, group_min, group_size, group_sum
from jumar.ops.masked import response_mean
from jumar.pieces import piece, promises, reads
from jumar.surrogates.clipped import clipped_surrogate
from jumar.types import RolloutBatch, Signals, State


def semantic_entropy(rollout: RolloutBatch) -> Tensor:
    """[B] of log n: 0 where all answers agree, 1 where all differ and are equally likely."""
    groups = rollout.group_ids
    answers = distinct(groups, rollout.answer_ids)
    likely = response_mean(rollout.old_logprobs, rollout.mask)
    mass = (likely + group_min(-likely, groups)).clamp(min=-60).exp()  # largest of the group: 1
    share = group_sum(mass, answers) / group_sum(mass, groups)
    once = 1 / group_size(answers).to(share)  # so that an answer counts once, not per response
    entropy = group_sum(-share.log() * once, groups) / group_sum(once, groups)
    most = group_size(groups).to(share).log()
    return (entropy / most.masked_fill(most == 0, 1)).to(rollout.rewards)


@promises("group_centred")
@reads("answer_ids", "old_logprobs")
def uncertainty_scaled(
    rollout: RolloutBatch, state: State, *, alpha: float
) -> tuple[Signals, State]:
    """[B]: reward - mean of its group, times what its semantic entropy leaves."""
    signals, state = group_mean_baseline(rollout, state)
    factor = (1 - alpha * semantic_entropy(rollout)).clamp(min=0)
    return Signals(advantages=signals.advantages * factor), state


def seed_grpo(
    *,
    alpha: float = 0.0417,
    clip_low: float = 0.2,
    clip_high: float = 0.2,
    length: int = 3000,
) -> Algorithm:
    """`length` in tokens, the response limit of the run."""
    return Algorithm(
        name="seed_grpo",
        advantage=piece(uncertainty_scaled, alpha=alpha),
        surrogate=piece(clipped_surrogate, clip_low=clip_low, clip_high=clip_high),
        aggregate=piece(fixed_length_mean, length=length),
    )
