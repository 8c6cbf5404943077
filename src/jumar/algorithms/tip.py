"""TIP: on-policy distillation on half of the tokens, those where the student is least sure.

    weight_t = H(pi)_t^entropy_power * JSD(pi, pi_teacher)_t^divergence_power
    S_i      = ratio * |y_i| tokens of each response, drawn by weight without replacement
    L        = mean over drawn tokens of KL(pi(. | y_<t) || pi_teacher(. | y_<t))

Paper: TIP: Token Importance in On-Policy Distillation, arXiv:2604.14084.   Code: https://github.com/HJSang/OPSD_OnPolicyDistillation, src/opd/losses.py.
Departs: tokens are drawn within each response, theirs within a micro-batch, which depends on how it is cut. divergence_power = 0 is the paper's main setting, in which the teacher takes no part in the choice. Left out: their rule for tokens where a sure student is wrong, and the divergence over the teacher's likeliest tokens only.   Elsewhere: absent from TRL and verl; with ratio = 1 it is `opd`.   Changes: teacher.
"""

import torch
from torch import Tensor

from jumar.algorithm import Algorithm
from jumar.ops.divergence import Divergence
from jumar.ops.draws import row_hash, row_uniform
from jumar.ops.masked import token_counts
from jumar.penalties.kl import requested_divergence
from jumar.pieces import piece, reads
from jumar.types import TokenBatch


@reads("{entropy}", "{divergence}")
def drawn_tokens(
    tokens: TokenBatch,
    *,
    ratio: float,
    entropy: Divergence,
    divergence: Divergence,
    entropy_power: float,
    divergence_power: float,
) -> Tensor:
    """[B, T]: 0 where the token was not drawn, else |y_i| over how many were; mean 1."""
    weight = tokens[entropy.column].detach().clamp(min=1e-8).pow(entropy_power)
    weight = weight * tokens[divergence.column].detach().clamp(min=1e-8).pow(divergence_power)
    key = (token_uniform(tokens).to(weight).clamp(min=1e-12).log() / weight).masked_fill(
        ~tokens.mask, -torch.inf
    )
    counts = token_counts(tokens.mask)
    wanted = (ratio * counts).long().clamp(min=1)
    place = key.argsort(dim=1, descending=True, stable=True).argsort(dim=1)
    drawn = (place < wanted[:, None]) & tokens.mask
    return drawn * (counts / wanted).to(weight)[:, None]


def token_uniform(tokens: TokenBatch) -> Tensor:
    """[B, T] in [0, 1): one draw per token, of its prompt, sample and position."""
    row = row_hash(tokens.seed, tokens.step, tokens.prompt_ids, tokens.sample_ids)
    position = torch.arange(tokens.mask.shape[1], device=row.device)
    return row_uniform(
        tokens.seed,
        tokens.step,
        row[:, None].expand(tokens.mask.shape),
        position.expand(tokens.mask.shape),
    )


def tip(
    *, ratio: float = 0.5, entropy_power: float = 1.0, divergence_power: float = 0.0
) -> Algorithm:
    """Drawn by u^(1 / weight): the largest of these keys are a draw without replacement."""
    teacher = Divergence(kind="reverse_kl", target="teacher")
    return Algorithm(
        name="tip",
        surrogate=piece(requested_divergence, divergence=teacher),
        token_weight=piece(
            drawn_tokens,
            ratio=ratio,
            entropy=Divergence(kind="entropy"),
            divergence=Divergence(kind="jsd", target="teacher"),
            entropy_power=entropy_power,
            divergence_power=divergence_power,
        ),
    )
