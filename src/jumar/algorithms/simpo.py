"""SimPO: DPO without a reference; the mean log-prob of the chosen response must lead by a margin.

    m = beta * (mean_t log pi of chosen - mean_t log pi of rejected) - margin
    L = mean over pairs of -log sigmoid(m)

Paper: Meng et al. 2024, SimPO: Simple Preference Optimization with a Reference-Free Reward, arXiv:2405.14734.   Code: https://github.com/princeton-nlp/SimPO, scripts/simpo_trainer.py.
Departs: nothing; beta = 2.0 and margin = 1.0 are its setting for Llama 3 base, of a range of 2 to 10 and 0.2 to 5 over its models (it names margin / beta: 0.1 to 0.8). Pairs and ties are those of `dpo`.   Elsewhere: TRL's experimental CPOTrainer, loss type "simpo", cpo_alpha=0; absent from verl.   Changes: preference.
"""

from dataclasses import replace

from torch import Tensor
from torch.nn.functional import logsigmoid

from jumar.algorithm import Algorithm
from jumar.algorithms.dpo import dpo
from jumar.ops.group import group_centred, group_size, group_sum
from jumar.ops.masked import response_mean
from jumar.pieces import piece, promises
from jumar.types import TokenBatch


@promises("per_response")
def margin_loss(tokens: TokenBatch, *, beta: float, margin: float) -> Tensor:
    """[B]: half of its pair's loss."""
    side = group_centred(tokens.rewards, tokens.group_ids).sign()
    lead = group_sum(side * response_mean(tokens.logprobs, tokens.mask), tokens.group_ids)
    return -logsigmoid(beta * lead - margin) / group_size(tokens.group_ids)


def simpo(*, beta: float = 2.0, margin: float = 1.0) -> Algorithm:
    """Half the memory of DPO; nothing but the learning rate holds the policy near where it began."""
    return replace(dpo(), name="simpo", surrogate=piece(margin_loss, beta=beta, margin=margin))
