"""BAPO: move PPO's clip bounds at each step until tokens with A > 0 carry their share of the loss.

    S+ = sum over A > 0 of pi_old * min(r, c_high) * A           S- = sum over A < 0 of pi_old * max(r, c_low) * |A|
    c_high rises from ratio_max by `step` until S+ / (S+ + S-) >= share, up to ratio_max_end; if that is
    not enough, c_low rises from ratio_min to ratio_min_end     L = max(-A r, -A clip(r, c_low, c_high))

S+ and S- are sums over the whole optimiser step, from `batch_stats`, so all micro-batches clip alike.
Raising c_low adds to S-, a clipped token being a constant, so that it only drops gradients and never
helps the share: the paper's search, which goes on by small steps of c_low, always ends at its end.

Paper: Xi et al. 2025, BAPO: Stabilizing Off-Policy Reinforcement Learning for LLMs via Balanced Policy Optimization with Adaptive Clipping, arXiv:2510.18927, eq. 8 and alg. 1.   Code: https://github.com/WooooDyy/BAPO, recipe/bapo/policy_loss.py.
Departs: the share is read as S+ / (S+ + S-), where the bars of eq. 8 in our copy are not clear; the paper's step of 0.02 for c_low is left out, because it changes nothing, as said. A, the mean over all tokens and eps = 1e-6 are the released code's (verl's GRPO).   Elsewhere: absent from TRL and verl. The released code, a verl recipe, is another search: it leaves pi_old out of the sums, raises c_low first, asks for S+ / S- >= 1 (its script: 0.5), searches per micro-batch and adds a dual clip of 3; its three files give three sets of ranges.   Changes: surrogate.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from jumar.advantages.group import group_normalised
from jumar.algorithm import Algorithm
from jumar.ops.ratio import ratio
from jumar.pieces import piece, promises, reads
from jumar.surrogates.clipped import dual_clipped
from jumar.types import Metrics, TokenBatch


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """Where the bounds start, where they end, and the share of S+ that stops them."""

    share: float
    ratio_min: float
    ratio_min_end: float
    ratio_max: float
    ratio_max_end: float
    step: float

    def upper(self) -> list[float]:
        """Every upper bound that is tried, in order."""
        count = int((self.ratio_max_end - self.ratio_max) / self.step + 1e-9)
        return [self.ratio_max + i * self.step for i in range(count + 1)]

    def bounds(self, stats: Metrics) -> tuple[Tensor, Tensor]:
        """(c_low, c_high), scalars: the first that give `share`, else the ends."""
        positive, negative = stats["positive"][0], stats["negative"][0]
        enough = (1 - self.share) * positive >= self.share * negative
        lower = positive.new_tensor([self.ratio_min_end, self.ratio_min])[enough.any().long()]
        upper = positive.new_tensor(self.upper())
        return lower, torch.where(enough.any(), upper[enough.int().argmax()], upper[-1])


@reads("old_logprobs")
def contributions(tokens: TokenBatch, *, search: Search) -> Metrics:
    """S+ at each upper bound of the search, [bounds], and S- at the first lower one, a scalar."""
    r, probability = ratio(tokens), tokens.old_logprobs.clamp(max=0).exp()
    gain = probability * tokens.advantages.clamp(min=0)
    loss = probability * (-tokens.advantages).clamp(min=0)
    positive = torch.stack([(gain * r.clamp(max=bound)).sum() for bound in search.upper()])
    negative = (loss * r.clamp(min=search.ratio_min)).sum()
    count = tokens.mask.sum()
    return {"positive": (positive, count), "negative": (negative, count)}


@promises("policy_gradient")
@reads("old_logprobs")
def balanced_surrogate(tokens: TokenBatch, *, search: Search, dual_clip: float | None) -> Tensor:
    """[B, T]: PPO's clipped surrogate between the bounds of this optimiser step."""
    r, (low, high) = ratio(tokens), search.bounds(tokens.stats)
    loss = torch.maximum(-tokens.advantages * r, -tokens.advantages * r.clamp(low, high))
    return dual_clipped(loss, tokens.advantages, dual_clip)


def bapo(
    *,
    share: float = 0.4,
    ratio_min: float = 0.6,
    ratio_min_end: float = 0.9,
    ratio_max: float = 1.2,
    ratio_max_end: float = 3.0,
    step: float = 0.05,
    dual_clip: float | None = None,
    eps: float = 1e-6,
) -> Algorithm:
    """Bounds are absolute ratios; each optimiser step searches anew from ratio_min and ratio_max."""
    search = Search(
        share=share,
        ratio_min=ratio_min,
        ratio_min_end=ratio_min_end,
        ratio_max=ratio_max,
        ratio_max_end=ratio_max_end,
        step=step,
    )
    return Algorithm(
        name="bapo",
        advantage=piece(group_normalised, eps=eps),
        batch_stats=piece(contributions, search=search),
        surrogate=piece(balanced_surrogate, search=search, dual_clip=dual_clip),
    )
