import math
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from jumar import algorithms
from jumar.algorithm import policy_loss, reduced_stats
from jumar.algorithms.bapo import Search
from jumar.types import LossScale, TokenBatch

from .hand import gradient_of, loss_of, near, tokens


def moved(
    ratios: list[float], advantages: list[float], old: list[float] | None = None
) -> TokenBatch:
    """Responses of one token each."""
    before = old or [-1.0] * len(ratios)
    now = [[x + math.log(r)] for x, r in zip(before, ratios, strict=True)]
    return tokens(now, old_logprobs=[[x] for x in before], advantages=advantages)


def bounds(batch: TokenBatch, **settings: float) -> tuple[float, float]:
    algorithm = algorithms.bapo(**settings)
    search = dict(algorithm.surrogate.settings)["search"]
    low, high = search.bounds(reduced_stats(algorithm, [batch]))
    return float(low), float(high)


@pytest.mark.parametrize(
    ("bad", "low", "high"),
    [
        # S+ at c is min(1.3, c) + min(1.5, c), S- the number of bad tokens; wanted: S+ >= 2/3 S-
        (3, 0.6, 1.2),  # 2.4 >= 2: enough at the start
        (4, 0.6, 1.4),  # 1.35 gives 2.65 < 2.667, 1.4 gives 2.7
        (5, 0.9, 3.0),  # all that there is, 2.8, is less than 3.333
    ],
)
def test_the_bounds_by_hand(bad: int, low: float, high: float) -> None:
    batch = moved([1.3, 1.5] + [1.0] * bad, [1.0, 1.0] + [-1.0] * bad)
    assert bounds(batch) == pytest.approx((low, high))


def test_the_loss_by_hand() -> None:
    batch = moved([1.3, 1.5, 0.5, 1.0, 1.0, 1.0], [1.0, 1.0] + [-1.0] * 4)
    # S- = max(0.5, 0.6) + 3 = 3.6, so S+ must reach 2.4: it does at once, 1.2 + 1.2
    near(loss_of(algorithms.bapo(), batch), (-1.2 - 1.2 + 0.6 + 3) / 6)
    near(gradient_of(algorithms.bapo(), batch)[:, 0], [0, 0, 0, 1 / 6, 1 / 6, 1 / 6])
    # with a share of 0.42 S+ must reach 2.607: at 1.35 it is 1.3 + 1.35
    near(loss_of(algorithms.bapo(share=0.42), batch), (-1.3 - 1.35 + 0.6 + 3) / 6)
    near(
        gradient_of(algorithms.bapo(share=0.42), batch)[:, 0], [-1.3 / 6, 0, 0, 1 / 6, 1 / 6, 1 / 6]
    )


def test_a_token_counts_by_the_probability_it_was_sampled_with() -> None:
    ratios, advantages = [1.3, 1.5] + [1.0] * 5, [1.0, 1.0] + [-1.0] * 5
    assert bounds(moved(ratios, advantages)) == pytest.approx((0.9, 3.0))
    unlikely = [-1.0, -1.0] + [-3.0] * 5  # e^-2 as likely as the good ones: S- is 0.677
    assert bounds(moved(ratios, advantages, unlikely)) == pytest.approx((0.6, 1.2))


def test_where_bad_tokens_dominate_good_ones_beyond_the_usual_clip_learn() -> None:
    """And where good ones do, the clip stays as it was, so that entropy does not run away."""
    bad = moved([1.3, 1.0, 1.0], [1.0, -1.0, -1.0])  # 1.3 of 3.3 is 0.394, at any bound from 1.3
    near(gradient_of(algorithms.bapo(), bad)[0, 0], -1.3 / 3)
    near(gradient_of(algorithms.dapo(), bad)[0, 0], 0.0)
    good = moved([1.3, 1.0], [1.0, -1.0])  # 1.2 of 2.2 is 0.545
    near(gradient_of(algorithms.bapo(), good)[0, 0], 0.0)


def share(batch: TokenBatch, low: float, high: float) -> float:
    """S+ / (S+ + S-), token by token as eq. 8 has it."""
    ratio = (batch.logprobs - batch.old_logprobs).exp()
    terms = batch.old_logprobs.exp() * torch.minimum(
        ratio * batch.advantages, ratio.clamp(low, high) * batch.advantages
    )
    terms = terms * batch.mask
    good = terms[batch.advantages > 0].sum()
    return float(good / terms.abs().sum())


def literal_search(batch: TokenBatch) -> tuple[float, float]:
    """Algorithm 1 of the paper, with its two steps of 0.05 and 0.02."""
    i = j = 0
    while share(batch, 0.6 + 0.02 * j, 1.2 + 0.05 * i) < 0.4 and j < 15:
        if i < 36:
            i += 1
        else:
            j += 1
    return 0.6 + 0.02 * j, 1.2 + 0.05 * i


def random_batch(seed: int) -> TokenBatch:
    g = torch.Generator().manual_seed(seed)

    def normal() -> Tensor:
        return torch.randn(6, 4, generator=g, dtype=torch.float64)

    old = -normal().abs() - 0.1
    good = torch.randint(1, 6, (), generator=g)
    advantages = torch.where(torch.arange(6) < good, 1.0, -1.0).double()
    return tokens(old + 0.7 * normal(), old_logprobs=old, advantages=advantages)


def test_the_bounds_are_those_of_the_papers_search() -> None:
    found = {seed: bounds(random_batch(seed)) for seed in range(60)}
    for seed, pair in found.items():
        assert pair == pytest.approx(literal_search(random_batch(seed)))
    # no move, a part of the way, and the end all occur
    highs = [round(high, 2) for _, high in found.values()]
    assert {1.2, 3.0} < set(highs)
    assert any(1.2 < high < 3.0 for high in highs)


def test_the_share_is_reached_and_not_overshot_by_a_step() -> None:
    for seed in range(60):
        batch = random_batch(seed)
        low, high = bounds(batch)
        if low == pytest.approx(0.9):
            assert share(batch, 0.6, 3.0) < 0.4
        else:
            assert share(batch, low, high) >= 0.4
            assert high == pytest.approx(1.2) or share(batch, low, high - 0.05) < 0.4


def test_raising_the_lower_bound_never_raises_the_share() -> None:
    """A clipped bad token is a constant of the size of the bound: it counts and teaches nothing."""
    for seed in range(20):
        shares = [share(random_batch(seed), 0.6 + 0.02 * j, 3.0) for j in range(16)]
        assert all(after <= before for before, after in pairwise(shares))


def test_micro_batches_clip_as_the_whole_step_does() -> None:
    """Alone, the first half would keep its bounds and the second would open them."""
    algorithm = algorithms.bapo()
    batch = moved([1.5, 1.5, 1.5, 0.7, 1.0, 1.0], [1.0, 1.0, 1.0, -1.0, -1.0, -1.0])
    halves = [batch.select(rows) for rows in torch.arange(6).split(3)]
    stats = reduced_stats(algorithm, halves)
    scale = LossScale.of(batch, stats)
    parts = torch.stack([policy_loss(algorithm, half, scale).loss for half in halves])
    near(parts.sum(), loss_of(algorithm, batch), atol=1e-12)
    assert bounds(halves[0])[1] != bounds(halves[1])[1]


def test_a_step_without_advantages_keeps_the_first_bounds() -> None:
    assert bounds(moved([1.3, 0.5], [0.0, 0.0])) == pytest.approx((0.6, 1.2))


def test_the_upper_bounds_end_where_they_should() -> None:
    search = Search(
        share=0.4, ratio_min=0.6, ratio_min_end=0.9, ratio_max=1.2, ratio_max_end=3.0, step=0.05
    )
    assert len(search.upper()) == 37
    assert search.upper()[-1] == pytest.approx(3.0)
