import math

import pytest
import torch
from torch import Tensor

from jumar import algorithms
from jumar.algorithm import compute_signals
from jumar.ops.logprobs import Head, position_spread
from jumar.types import RolloutBatch

from .hand import gradient_of, near, rollout, tokens


def weights(batch: RolloutBatch, alpha: float = 1.7) -> Tensor:
    signals, _ = compute_signals(algorithms.tw_grpo(alpha=alpha), batch, {})
    return signals.columns["position_weights"]


def spread_of(log_p: Tensor, mask: Tensor) -> Tensor:
    """[T]: of distributions [G, T, V], which are hidden states of an identity head."""
    return position_spread(log_p[mask], Head(torch.eye(log_p.shape[-1]).double()), mask)


def test_weights_go_from_1_to_alpha_within_each_group_by_hand() -> None:
    batch = rollout(
        [1.0, 0.0, 1.0, 0.0],
        groups=[0, 0, 1, 1],
        lengths=[3, 2, 2, 2],
        position_spread=[[0.2, 0.6, 0.4], [0.2, 0.6, None], [5.0, 1.0, None], [5.0, 1.0, None]],
    )
    expected = [[1.0, 1.7, 1.35], [1.0, 1.7, 0.0], [1.7, 1.0, 0.0], [1.7, 1.0, 0.0]]
    near(weights(batch), expected)


def test_the_extremes_of_a_group_may_be_where_a_row_has_ended() -> None:
    batch = rollout([1.0, 0.0], lengths=[1, 2], position_spread=[[0.5, None], [0.5, 2.5]])
    near(weights(batch), [[1.0, 0.0], [1.0, 1.7]])


def test_a_group_that_differs_nowhere_has_the_weights_of_grpo() -> None:
    batch = rollout([1.0, 0.0], lengths=[2, 2], position_spread=[[0.3, 0.3]] * 2)
    near(weights(batch), [[1.0, 1.0]] * 2)


def test_the_weight_multiplies_the_update() -> None:
    same = [[-1.0, -2.0]]
    batch = tokens(same, old_logprobs=same, advantages=[1.0], position_weights=[[1.0, 1.7]])
    near(gradient_of(algorithms.tw_grpo(), batch), [[-0.5, -0.85]])


def test_the_spread_by_hand() -> None:
    # two rows over two tokens: (1/2, 1/2) and (4/5, 1/5)
    p = torch.tensor([[[0.5, 0.5]], [[0.8, 0.2]]], dtype=torch.float64)
    up, down = math.log(0.8 / 0.5) / 2, math.log(0.2 / 0.5) / 2

    def term(d: float) -> float:
        return math.exp(d) - d - 1

    expected = (term(up) + term(down) + term(-up) + term(-down)) / 2
    near(spread_of(p.log(), torch.ones(2, 1, dtype=torch.bool)), [expected])


def test_a_row_that_has_ended_counts_as_uniform() -> None:
    p = torch.tensor([[0.7, 0.2, 0.1], [1 / 3, 1 / 3, 1 / 3]], dtype=torch.float64)
    both = spread_of(p.log()[:, None], torch.ones(2, 1, dtype=torch.bool))
    ended = spread_of(p.log()[:, None], torch.tensor([[True], [False]]))
    near(ended, both, atol=1e-12)


@pytest.mark.parametrize("chunk", [1, 7, 1024])
def test_it_is_the_released_codes_importance(chunk: int) -> None:
    """Its arithmetic on full log-probs, padded rows uniform, for one group."""
    g = torch.Generator().manual_seed(0)
    log_p = (3 * torch.randn(4, 6, 5, generator=g, dtype=torch.float64)).log_softmax(-1)
    mask = torch.arange(6) < torch.tensor([6, 3, 4, 1])[:, None]
    filled = torch.where(mask[..., None], log_p, -math.log(5))
    gap = (filled.mean(dim=0, keepdim=True) - filled).clamp(-11, 11)
    kl = (gap.exp() - gap - 1).sum(-1).mean(0)
    found = position_spread(log_p[mask], Head(torch.eye(5).double()), mask, chunk=chunk)
    near(found, kl, atol=1e-12)
    scaled = (kl - kl.min()) / (kl.max() - kl.min() + 1e-8)
    batch = rollout([1.0] * 4, lengths=[6, 3, 4, 1], position_spread=kl.expand(4, 6) * mask)
    near(weights(batch), (1 + 0.7 * scaled).expand(4, 6) * mask, atol=1e-12)


def test_where_all_responses_agree_the_weight_is_least() -> None:
    """The paper's point: common beginnings are not what a reward is about."""
    g = torch.Generator().manual_seed(1)
    log_p = torch.randn(3, 4, 7, generator=g, dtype=torch.float64).log_softmax(-1)
    log_p[:, 0] = log_p[:1, 0]
    mask = torch.ones(3, 4, dtype=torch.bool)
    spread = spread_of(log_p, mask)
    near(spread[0], 0.0, atol=1e-12)
    found = weights(rollout([1.0] * 3, lengths=[4] * 3, position_spread=spread.expand(3, 4)))
    near(found[:, 0], [1.0] * 3)
    assert (found[:, 1:] > 1).all()
