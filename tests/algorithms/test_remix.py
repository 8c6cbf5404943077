import math
from dataclasses import replace

import pytest
import torch

from jumar import algorithms
from jumar.algorithms.remix import convex_kl, reference_share

from .hand import gradient_of, loss_of, near, tokens

FREE = {"kl_coef": 0.0}


def test_by_hand() -> None:
    # ratios of the policy and of the old policy to the sampler: 3 and 2, 1.9 and 2, 0.5 and 2
    now, old = (3.0, 1.9, 0.5), (2.0, 2.0, 2.0)
    batch = tokens(
        [[-1.0]] * 3,
        rollout_logprobs=[[-1.0 - math.log(r)] for r in now],
        old_logprobs=[[-1.0 - math.log(r) + math.log(c)] for r, c in zip(now, old, strict=True)],
        ref_logprobs=[[-1.0]] * 3,
        advantages=[1.0, 1.0, -1.0],
    )
    # A = 1: clipped at 2.2; inside: 1.9; A = -1: clipped at 1.8
    near(loss_of(algorithms.remix(**FREE), batch), (-2.2 - 1.9 + 1.8) / 3)
    near(gradient_of(algorithms.remix(**FREE), batch)[:, 0], [0.0, -1.9 / 3, 0.0])


def test_the_weight_goes_from_the_reference_to_the_last_policy_in_stairs() -> None:
    shares = [reference_share(step) for step in (0, 50, 51, 60, 61, 100, 101, 500)]
    near(torch.tensor(shares, dtype=torch.float64), [1.0, 1.0, 0.9, 0.9, 0.8, 0.5, 0.5, 0.5])
    same = [[-1.0]]
    batch = tokens(same, old_logprobs=same, ref_logprobs=[[-1.0 + math.log(2)]])
    # k3 to the reference: 2 - log 2 - 1
    near(convex_kl(batch), [[0.306853]])
    near(convex_kl(replace(batch, stage_step=75)), [[0.7 * 0.306853]])


@pytest.mark.parametrize("seed", range(3))
def test_on_fresh_responses_it_is_the_clip_of_ppo(seed: int) -> None:
    g = torch.Generator().manual_seed(seed)
    old = -torch.rand(6, 4, generator=g, dtype=torch.float64)
    now = old + 0.5 * torch.randn(6, 4, generator=g, dtype=torch.float64)
    batch = tokens(
        now, old_logprobs=old, rollout_logprobs=old, ref_logprobs=old,
        advantages=torch.randn(6, generator=g, dtype=torch.float64),
    )  # fmt: skip
    mine = algorithms.remix(**FREE)
    ppos = replace(algorithms.grpo(kl_coef=0.0), aggregate=mine.aggregate)
    near(loss_of(mine, batch), loss_of(ppos, batch).detach(), atol=1e-12)
    near(gradient_of(mine, batch), gradient_of(ppos, batch), atol=1e-12)


@pytest.mark.parametrize("stale", [0.2, 5.0])
def test_stale_responses_teach_where_the_clip_of_ppo_has_frozen_them(stale: float) -> None:
    """What the moving centre is for: before any update nothing is clipped, however old it is."""
    same = [[-1.0], [-1.0]]
    batch = tokens(
        same, old_logprobs=same, rollout_logprobs=[[-1.0 - math.log(stale)]] * 2,
        ref_logprobs=same, advantages=[1.0, -1.0],
    )  # fmt: skip
    near(gradient_of(algorithms.remix(**FREE), batch)[:, 0], [-stale / 2, stale / 2])
    frozen = batch.with_columns(old_logprobs=batch.rollout_logprobs)
    assert (gradient_of(algorithms.grpo(kl_coef=0.0), frozen) == 0).sum() == 1
