import torch
from torch import Tensor

from jumar import algorithms
from jumar.types import TokenBatch

from .hand import gradient_of, loss_of, near, tokens


def test_by_hand() -> None:
    batch = tokens(
        [[-1.0, -2.0], [-1.0, -2.0]],
        old_logprobs=[[-1.02, -1.99], [-1.02, -1.99]],
        advantages=[1.0, -1.0],
    )
    # log-ratios 0.02 and -0.01, mean 0.005, s = exp(0.005) = 1.005013
    # A = 1: clipped at 1.0004; A = -1: 1.005013, unclipped; half their sum
    near(loss_of(algorithms.gspo(), batch), (-1.0004 + 1.005013) / 2)
    # s / |y| / B = 1.005013 / 4 for both tokens of the second response, whatever their own ratio
    near(gradient_of(algorithms.gspo(), batch), [[0, 0], [0.251253, 0.251253]])


def per_response(batch: TokenBatch, low: float, high: float) -> Tensor:
    """The paper's form: one clipped ratio per response."""
    count = batch.mask.sum(dim=1)
    s = ((batch.logprobs - batch.old_logprobs).sum(dim=1) / count).exp()
    a = batch.advantages[:, 0]
    return torch.maximum(-a * s, -a * s.clamp(1 - low, 1 + high)).mean()


def test_the_form_per_token_has_value_and_gradient_of_the_form_per_response() -> None:
    g = torch.Generator().manual_seed(0)
    lengths = [1, 2, 3, 4, 4, 3]
    for width in (3e-4, 0.05, 5.0):
        rows = [[float(x) for x in -torch.rand(n, generator=g) - 0.1] for n in lengths]
        old = [[x + float(torch.randn((), generator=g)) * 0.1 for x in row] for row in rows]
        a = [float(x) for x in torch.randn(6, generator=g)]
        batch = tokens(rows, old_logprobs=old, advantages=a)
        leaf = batch.logprobs.detach().clone().requires_grad_()
        value = per_response(batch.with_columns(logprobs=leaf), width, width)
        (gradient,) = torch.autograd.grad(value, leaf)
        algorithm = algorithms.gspo(clip_low=width, clip_high=width)
        near(loss_of(algorithm, batch), value.detach(), atol=1e-12)
        near(gradient_of(algorithm, batch), gradient, atol=1e-12)


def test_all_tokens_of_a_response_are_clipped_together_or_not_at_all() -> None:
    """A token far off its own old probability keeps its gradient while the response is near."""
    batch = tokens([[-1.0, -1.0]], old_logprobs=[[-2.0, 0.0]], advantages=[1.0])
    near(gradient_of(algorithms.gspo(), batch), [[-0.5, -0.5]])
    near(gradient_of(algorithms.grpo(kl_coef=0.0), batch)[0, 0], 0.0)
