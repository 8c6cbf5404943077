"""Reg-GRPO: let the log-ratios of a group, normalised like its rewards, regress onto the advantages.

    rho_i = sum_t (log pi - log pi_old)              A^_i = (rho_i - mean_g rho) / sqrt(var_g rho + floor^2)
    L     = mean_i (A_i - A^_i)^2 + kl_coef * k3(pi, pi_ref)                                 A_i as in GRPO

No ratio and no clip: a response that got its advantage stops moving. Far above the floor only the
proportions of the log-ratios count; below it, A^ = rho / floor, and the first step is a policy gradient.

Paper: Park et al. 2025, DeepVideo-R1: Video Reinforcement Fine-Tuning via Difficulty-aware Regressive GRPO, arXiv:2506.07464.   Code: none released that we could read; https://github.com/mlvlab/DeepVideoR1 is named by the paper.
Departs: before the first update all log-ratios are 0 and so is their spread, by which the paper divides; floor = 0.01 nats is ours. So is kl_coef = 0.04, GRPO's; the paper's we have not seen. The unbiased variance and eps = 1e-6 are verl's. Its augmentation of prompts that are too hard or too easy is the task's affair.   Elsewhere: absent from TRL and verl; `rebel` regresses the same differences without the normalisation.   Changes: regression.
"""

from torch import Tensor

from jumar.advantages.group import group_normalised
from jumar.aggregates import response_mean, token_mean
from jumar.algorithm import Algorithm, Penalty
from jumar.ops.group import group_centred, group_size, group_sum
from jumar.ops.masked import response_mean as mean_over_tokens
from jumar.ops.masked import response_sum
from jumar.penalties.kl import sampled_kl
from jumar.pieces import piece, promises, reads
from jumar.schedules import Schedule
from jumar.types import TokenBatch


@promises("per_response")
@reads("old_logprobs")
def advantage_regression(tokens: TokenBatch, *, floor: float) -> Tensor:
    """[B]: squared distance of the normalised log-ratio of the response from its advantage."""
    log_ratio = response_sum(tokens.logprobs - tokens.old_logprobs, tokens.mask)
    centred = group_centred(log_ratio, tokens.group_ids)
    others = (group_size(tokens.group_ids) - 1).clamp(min=1)
    variance = group_sum(centred.square(), tokens.group_ids) / others
    predicted = centred / (variance + floor**2).sqrt()
    return (mean_over_tokens(tokens.advantages, tokens.mask) - predicted).square()


def reg_grpo(
    *, floor: float = 0.01, kl_coef: float | Schedule = 0.04, eps: float = 1e-6
) -> Algorithm:
    """A larger floor is a shorter way to go; kl_coef = 0 leaves the reference out altogether."""
    kl = Penalty(
        name="kl",
        coef=kl_coef,
        piece=piece(sampled_kl, kind="k3"),
        aggregate=piece(token_mean),
    )
    return Algorithm(
        name="reg_grpo",
        advantage=piece(group_normalised, eps=eps),
        surrogate=piece(advantage_regression, floor=floor),
        penalties=(kl,) if kl_coef else (),
        aggregate=piece(response_mean),
        unit="group",
    )
