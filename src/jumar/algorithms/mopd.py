"""MOPD: distillation as a policy gradient; each token's advantage is the teacher's lead and the verdict.

    a_t = sg(log pi_teacher - log pi) + alpha * A_i                         A_i as in GRPO
    w_t = sg(pi / mu) where ratio_min <= pi / mu <= ratio_max, else 0       mu: the sampler
    L   = -mean_i mean_t w_t a_t log pi(y_t)

Paper: MiMo-V2-Flash Technical Report, arXiv:2601.02780, sec. 4.4.   Code: none released by the authors; https://github.com/NVIDIA-NeMo/RL, nemo_rl/algorithms/advantage_estimator.py.
Departs: the bounds are not in our copy of the paper; ratio_min = 0.2 and ratio_max = 5.0 are those of NeMo RL's recipes, and alpha = 1.0 is ours (OWPO's search over 0.1 to 50 found 5). The mode "clip" is OWPO's description of it, and one recipe of NeMo RL has it. Which teacher a row has is the engine's affair.   Elsewhere: absent from TRL, whose async distillation has a MOPD of several teachers, arXiv:2606.30406; absent from verl, whose rollout_is="token" with a threshold "0.2_5.0" is the same gate. NeMo RL leaves the verdict out and takes log pi from before the update.   Changes: teacher.
"""

from typing import Literal

from torch import Tensor

from jumar.advantages.group import group_normalised
from jumar.aggregates import response_mean
from jumar.algorithm import Algorithm
from jumar.ops.ratio import MAX_LOG_RATIO
from jumar.pieces import piece, reads
from jumar.types import TokenBatch
from jumar.weights.correction import outside


@reads("teacher_logprobs")
def hybrid_score_function(tokens: TokenBatch, *, alpha: float) -> Tensor:
    """[B, T]: -(teacher's lead in nats + alpha A) log pi."""
    lead = (tokens.teacher_logprobs - tokens.logprobs).detach()
    return -(lead + alpha * tokens.advantages) * tokens.logprobs


@reads("rollout_logprobs")
def gated_ratio(
    tokens: TokenBatch, *, ratio_min: float, ratio_max: float, mode: Literal["gate", "clip"]
) -> Tensor:
    """[B, T]: pi / mu; outside the bounds 0, or the nearest bound."""
    log_ratio = (tokens.logprobs - tokens.rollout_logprobs).detach()
    ratio = log_ratio.clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO).exp()
    if mode == "clip":
        return ratio.clamp(ratio_min, ratio_max)
    return ratio.masked_fill(outside(ratio, ratio_min, ratio_max), 0)


def mopd(
    *,
    alpha: float = 1.0,
    ratio_min: float = 0.2,
    ratio_max: float = 5.0,
    mode: Literal["gate", "clip"] = "gate",
    eps: float = 1e-6,
) -> Algorithm:
    """With alpha = 0 it only distils; where trainer and sampler disagree too much, it does not learn."""
    return Algorithm(
        name="mopd",
        advantage=piece(group_normalised, eps=eps),
        surrogate=piece(hybrid_score_function, alpha=alpha),
        token_weight=piece(gated_ratio, ratio_min=ratio_min, ratio_max=ratio_max, mode=mode),
        aggregate=piece(response_mean),
    )
