"""RLSD: the verifier chooses the direction of each update, a teacher that saw the answer its share per token.

    w = exp(sign(A) * (log pi_teacher - log pi))                    evidence that the token led to the answer
    L = sg(1 - mix + mix * clip(w, w_min, w_max)) * clipped surrogate of GRPO

The teacher is the policy itself, or a recent copy, with the reference answer in its prompt. The weight
is positive, so the teacher never turns an update round.

Paper: Yang et al. 2026, Self-Distilled RLVR, arXiv:2604.03128.   Code: https://github.com/iie-ycx/RLSD, verl/workers/actor/dp_opsd_actor.py.
Departs: mix is constant, or a schedule; the paper lets it fall to 0, in the released script from 0.5 over 60 steps. The local engine shows the teacher the policy's own prompt, without the answer, so it is this loss and not yet the paper's method; the ratchet renews the teacher. mix = 0.5, the range 1 +- 0.2 and clip_high = 0.28 are that script's too; the released code's dual clip of 3 and mean over all tokens are left out, the mean within each response first is the paper's.   Elsewhere: absent from TRL and verl; ms-swift's advantage_reweight=rlsd has the old log-probs in w. OWPO has this weight around a reference.   Changes: teacher.
"""

from dataclasses import replace

from torch import Tensor

from jumar.algorithm import Algorithm
from jumar.algorithms.grpo import grpo
from jumar.pieces import piece, reads
from jumar.schedules import Schedule, value_at
from jumar.types import TokenBatch
from jumar.weights.one_way import lead_weight


@reads("teacher_logprobs")
def evidence_weight(
    tokens: TokenBatch, *, w_min: float, w_max: float, mix: float | Schedule
) -> Tensor:
    """[B, T]: above 1 where the teacher sides with the verifier more than the policy does."""
    lead = tokens.advantages.sign() * (tokens.logprobs - tokens.teacher_logprobs).detach()
    share = value_at(mix, step=tokens.step, stage_step=tokens.stage_step)
    return 1 - share + share * lead_weight(lead, w_min, w_max)


def rlsd(
    *,
    w_min: float = 0.8,
    w_max: float = 1.2,
    mix: float | Schedule = 0.5,
    clip_low: float = 0.2,
    clip_high: float = 0.28,
    eps: float = 1e-6,
) -> Algorithm:
    """With mix = 0 it is GRPO without a reference, with mix = 1 the weight counts in full."""
    return replace(
        grpo(clip_low=clip_low, clip_high=clip_high, kl_coef=0.0, eps=eps),
        name="rlsd",
        token_weight=piece(evidence_weight, w_min=w_min, w_max=w_max, mix=mix),
    )
