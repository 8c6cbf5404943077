"""TGDPO: DPO in which a trained DPO policy says which tokens of the pair matter.

    u_t = log pi_guide - log pi_ref                             the guide's reward for a token is beta * u_t
    m   = sum_t beta (1 + alpha beta u_t) l_t of the chosen response
        - sum_t beta (1 - alpha beta u_t) l_t of the rejected one                   l_t = log pi - log pi_ref
    L   = mean over pairs of -log sigmoid(m)

So a token that the guide rewards is raised more in a chosen response and lowered less in a rejected one.

Paper: Zhu et al. 2025, TGDPO: Harnessing Token-Level Reward Guidance for Enhancing Direct Preference Optimization, arXiv:2506.14574.   Code: https://github.com/dvlab-research/TGDPO, src/llamafactory/train/tgdpo/trainer.py.
Departs: nothing from the released code; beta = 0.1 and alpha = 0.5 are its example's. As there, a weight is negative where the guide is more than 1 / (alpha * beta) = 20 nats against its side. The guide is the teacher; pairs and ties are those of `dpo`.   Elsewhere: absent from TRL and verl.   Changes: preference.
"""

from dataclasses import replace

from torch import Tensor
from torch.nn.functional import logsigmoid

from jumar.algorithm import Algorithm
from jumar.algorithms.dpo import dpo
from jumar.ops.group import group_centred, group_size, group_sum
from jumar.ops.masked import response_sum
from jumar.pieces import piece, promises, reads
from jumar.types import TokenBatch


@promises("per_response")
@reads("ref_logprobs", "teacher_logprobs")
def guided_preference_loss(tokens: TokenBatch, *, beta: float, alpha: float) -> Tensor:
    """[B]: half of its pair's loss."""
    side = group_centred(tokens.rewards, tokens.group_ids).sign()
    guide = beta * (tokens.teacher_logprobs - tokens.ref_logprobs)
    weight = 1 + alpha * side[:, None] * guide
    log_ratio = response_sum(weight * (tokens.logprobs - tokens.ref_logprobs), tokens.mask)
    margin = beta * group_sum(side * log_ratio, tokens.group_ids)
    return -logsigmoid(margin) / group_size(tokens.group_ids)


def tgdpo(*, beta: float = 0.1, alpha: float = 0.5) -> Algorithm:
    """With alpha = 0 it is DPO."""
    return replace(
        dpo(beta=beta),
        name="tgdpo",
        surrogate=piece(guided_preference_loss, beta=beta, alpha=alpha),
    )
