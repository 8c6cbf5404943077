"""DPO: of two responses to a prompt, make the chosen one likelier against the rejected one.

    m = beta * (log-ratio of chosen - log-ratio of rejected)    log-ratio = sum_t (log pi - log pi_ref)
    L = mean over pairs of -log sigmoid(m)

Paper: Rafailov et al. 2023, Direct Preference Optimization, arXiv:2305.18290.   Code: https://github.com/eric-mitchell/direct-preference-optimization, trainers.py.
Departs: nothing; beta = 0.1 is TRL's default. A pair is a group of two rows, the higher reward is the chosen one, and a tie has no gradient.   Elsewhere: TRL's DPOTrainer, loss type "sigmoid"; absent from verl.   Changes: preference.
"""

from torch import Tensor
from torch.nn.functional import logsigmoid

from jumar.aggregates import group_mean
from jumar.algorithm import Algorithm
from jumar.ops.group import group_centred, group_size, group_sum
from jumar.ops.masked import response_sum
from jumar.pieces import piece, promises, reads
from jumar.types import TokenBatch


@promises("per_response")
@reads("ref_logprobs")
def preference_loss(tokens: TokenBatch, *, beta: float) -> Tensor:
    """[B]: half of its pair's loss."""
    log_ratio = response_sum(tokens.logprobs - tokens.ref_logprobs, tokens.mask)
    side = group_centred(tokens.rewards, tokens.group_ids).sign()
    margin = beta * group_sum(side * log_ratio, tokens.group_ids)
    return -logsigmoid(margin) / group_size(tokens.group_ids)


def dpo(*, beta: float = 0.1) -> Algorithm:
    """For tasks whose rows bring `chosen` and `rejected`, or any stored groups of two."""
    return Algorithm(
        name="dpo",
        surrogate=piece(preference_loss, beta=beta),
        aggregate=piece(group_mean),
        unit="group",
        rows="stored",
    )
