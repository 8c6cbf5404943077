import torch
from torch import Tensor

from jumar import algorithms
from jumar.algorithm import Algorithm

from .hand import loss_of, near, tokens


def weights(entropy: Tensor, algorithm: Algorithm | None = None, step: int = 0) -> Tensor:
    algorithm = algorithm or algorithms.tip()
    rows = len(entropy)
    batch = tokens(
        torch.zeros_like(entropy),
        entropy=entropy,
        **{"jsd0.5_teacher": torch.ones_like(entropy)},
        prompt_ids=torch.full((rows,), 7),
        sample_ids=torch.arange(rows),
    )
    object.__setattr__(batch, "step", step)
    return algorithm.token_weight(batch)


def test_half_of_the_tokens_are_drawn_and_count_double() -> None:
    found = weights(torch.rand(50, 8, generator=torch.Generator().manual_seed(0)).double() + 0.1)
    assert ((found == 0) | (found == 2)).all()
    assert (found.sum(dim=1) == 8).all()


def test_the_mean_over_drawn_tokens_is_the_loss() -> None:
    kl = [[1.0, 2.0, 3.0, 4.0]]
    batch = tokens(
        [[-1.0] * 4], entropy=[[9.0, 1e-8, 1e-8, 9.0]], **{"jsd0.5_teacher": [[1.0] * 4]},
        reverse_kl_teacher=kl, prompt_ids=torch.tensor([7]), sample_ids=torch.tensor([0]),
    )  # fmt: skip
    near(loss_of(algorithms.tip(), batch), (1.0 + 4.0) / 2)


def test_a_token_is_drawn_in_proportion_to_its_entropy() -> None:
    """One of two: the first with probability 3 / (3 + 1)."""
    entropy = torch.tensor([3.0, 1.0], dtype=torch.float64).expand(20000, 2)
    share = (weights(entropy)[:, 0] > 0).double().mean()
    near(share, 0.75, atol=0.01)


def test_a_power_of_zero_draws_evenly_and_a_large_one_takes_the_top() -> None:
    entropy = torch.tensor([3.0, 1.0], dtype=torch.float64).expand(20000, 2)
    even = weights(entropy, algorithms.tip(entropy_power=0.0))
    near((even[:, 0] > 0).double().mean(), 0.5, atol=0.015)
    top = weights(entropy, algorithms.tip(entropy_power=30.0))
    assert (top[:, 0] > 0).all()


def test_the_draw_belongs_to_the_row_and_the_step() -> None:
    entropy = torch.ones(40, 6, dtype=torch.float64)
    assert torch.equal(weights(entropy), weights(entropy))
    assert not torch.equal(weights(entropy), weights(entropy, step=1))
    assert len({tuple(row) for row in weights(entropy).tolist()}) > 5


def test_with_all_tokens_it_is_opd() -> None:
    entropy = torch.rand(4, 5, generator=torch.Generator().manual_seed(1)).double()
    assert (weights(entropy, algorithms.tip(ratio=1.0)) == 1).all()
    assert algorithms.tip().surrogate == algorithms.opd().surrogate


def test_a_response_of_one_token_keeps_it() -> None:
    assert weights(torch.ones(3, 1, dtype=torch.float64)).tolist() == [[1.0]] * 3
