"""What an update does to each token, counted from what is in memory anyway; no forward of its own.

Everything is (sum, count), so that micro-batches and processes add up.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from jumar.algorithm import Algorithm
from jumar.ops.divergence import force_reversal
from jumar.ops.ratio import ratio
from jumar.pieces import Piece
from jumar.types import GRADIENT_COLUMNS, LossScale, Metrics, RolloutBatch, TokenBatch
from jumar.weights.correction import (
    masked_correction,
    outside,
    sampler_ratio,
    truncated_correction,
)
from jumar.weights.unit import unit_weight

KL_COEF = 0.1  # of the symmetric KL that is asked what it would do
WEIGHTS = (0.5, 0.8, 1.0, 1.25, 2.0)


ByToken = dict[str, list[float]]  # numbers for each token of one response, by name


def of_update(algorithm: Algorithm, tokens: TokenBatch, scale: LossScale) -> Metrics:
    """After the loss went backward: `tokens.logprobs.grad` is what it does to each token."""
    tokens = replace(tokens, step=scale.step, stage_step=scale.stage_step, stats=scale.stats)
    judged = tokens.mask & (tokens.advantages != 0)
    found = {**_clipped(algorithm, tokens, judged)}
    with torch.no_grad():
        found.update(_of_right_and_wrong(tokens))
        found.update(_reversed(tokens, judged))
        if algorithm.token_weight.fn is not unit_weight:
            found.update(_weights(algorithm.token_weight(tokens), tokens.mask))
        if "ref_logprobs" in tokens:
            found.update(_against_reference(tokens, judged))
        if "old_logprobs" in tokens and "rollout_logprobs" in tokens:
            gap = (tokens.old_logprobs - tokens.rollout_logprobs).abs() * tokens.mask
            found["logprob/gap"] = gap.sum(), tokens.mask.sum()
        for part in algorithm.pieces():
            if part.fn in (truncated_correction, masked_correction):
                found.update(_correction(part, tokens))
    return found


def of_rollout(batch: RolloutBatch) -> dict[str, float]:
    """What was sampled, before `keep`: groups without a lesson, and lengths."""
    groups, first = torch.unique(batch.group_ids, return_inverse=True)
    size = len(groups)
    high = batch.rewards.new_full((size,), -torch.inf).scatter_reduce(
        0, first, batch.rewards, "amax"
    )
    low = batch.rewards.new_full((size,), torch.inf).scatter_reduce(0, first, batch.rewards, "amin")
    lengths = batch.mask.sum(dim=1).float()
    found = {
        "groups/tied": float((high == low).float().mean()),
        "response_tokens/p90": float(lengths.quantile(0.9)),
        "response_tokens/max": float(lengths.max()),
    }
    for name, rows in (("right", batch.correct), ("wrong", ~batch.correct)):
        if rows.any():
            found[f"response_tokens/{name}"] = float(lengths[rows].mean())
    return found


def by_token(algorithm: Algorithm, tokens: TokenBatch, row: int) -> ByToken:
    """Numbers for each token of one response, as the update saw it: advantage; weight; ratio to the
    sampling policy; nats over the reference. Those that the algorithm has.
    """
    with torch.no_grad():
        found = {"advantage": tokens.advantages}
        if algorithm.token_weight.fn is not unit_weight:
            found["weight"] = algorithm.token_weight(tokens)
        if "old_logprobs" in tokens:
            found["ratio"] = ratio(tokens)
        for name, column in (("reference", "ref_logprobs"), ("teacher", "teacher_logprobs")):
            if column in tokens:
                found[name] = tokens.logprobs - tokens[column]
    mask = tokens.mask[row]
    return {
        name: [float(f"{number:.3g}") for number in values[row][mask].tolist()]
        for name, values in found.items()
    }


def spelled(
    batch: RolloutBatch, watched: Mapping[int, ByToken], tokenizer: Any
) -> dict[int, dict[str, Any]]:
    """The same numbers beside the text of each token."""
    return {
        row: {
            "text": [tokenizer.decode([i]) for i in batch.token_ids[row][batch.mask[row]].tolist()],
            **numbers,
        }
        for row, numbers in watched.items()
    }


def _of_right_and_wrong(tokens: TokenBatch) -> Metrics:
    """Mean log-prob [nats per token] of right and of wrong responses, as the policy is now."""
    found = {}
    for name, rows in (("right", tokens.correct), ("wrong", ~tokens.correct)):
        chosen = tokens.mask & rows[:, None]
        found[f"logprob/{name}"] = (tokens.logprobs * chosen).sum(), chosen.sum()
    return found


def _reversed(tokens: TokenBatch, judged: Tensor) -> Metrics:
    """The share of judged tokens that the whole loss moves against the sign of their advantage."""
    slope = tokens.logprobs.grad
    if slope is None:  # a loss over whole distributions alone
        return {}
    against = judged & (slope * tokens.advantages > 0)  # going down the slope lowers log pi
    return {"reversed": (against.sum(), judged.sum())}


def _weights(weight: Tensor, mask: Tensor) -> Metrics:
    """The distribution of token weights: shares of tokens up to each of a few values."""
    return {
        f"weight/up_to_{edge:g}": (((weight <= edge) & mask).sum(), mask.sum()) for edge in WEIGHTS
    }


def _correction(weight: Piece, tokens: TokenBatch) -> Metrics:
    """The mean weight against the sampler's mismatch, and the share of tokens out of its bounds."""
    bounds = dict(weight.settings)
    ratio = sampler_ratio(tokens, bounds["level"])
    cut = outside(ratio, bounds["ratio_min"], bounds["ratio_max"]) & tokens.mask
    count = tokens.mask.sum()
    return {
        "correction": ((weight(tokens) * tokens.mask).sum(), count),
        "correction/outside": (cut.sum(), count),
    }


def _against_reference(tokens: TokenBatch, judged: Tensor) -> Metrics:
    """Shares of judged tokens that lead the reference, and that a symmetric KL would turn round."""
    deviation = tokens.logprobs - tokens.ref_logprobs
    ahead = judged & (tokens.advantages * deviation > 0)
    turned = judged & force_reversal(tokens.advantages, deviation, KL_COEF)
    return {
        "lead": (ahead.sum(), judged.sum()),
        f"reversed_by_kl_{KL_COEF:g}": (turned.sum(), judged.sum()),
    }


def _clipped(algorithm: Algorithm, tokens: TokenBatch, judged: Tensor) -> Metrics:
    """Shares of judged tokens whose surrogate is flat, hence clipped, where A > 0 and where A < 0.

    Measured on the surrogate alone: a KL term beside it would hide that it is flat.
    """
    live = tokens.logprobs.detach().requires_grad_()
    carry = GRADIENT_COLUMNS | {divergence.column for divergence in algorithm.divergences}
    others = {n: c.detach() if n in carry else c for n, c in tokens.columns.items()}
    losses = algorithm.surrogate(replace(tokens, columns={**others, "logprobs": live}))
    if not losses.requires_grad:
        return {}
    (slope,) = torch.autograd.grad(losses.sum(), live)
    flat = judged & (slope == 0)
    return {
        name: ((flat & side).sum(), judged.sum())
        for name, side in (
            ("clip/high", tokens.advantages > 0),
            ("clip/low", tokens.advantages < 0),
        )
    }
