"""A policy over four answers of one token, small enough to take expectations exactly."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from jumar.algorithm import Algorithm

from .hand import gradient_of, tokens

THETA = torch.tensor([0.3, -0.8, 1.1, 0.0], dtype=torch.float64)
TEACHER = torch.tensor([0.1, 0.4, 0.2, 0.3], dtype=torch.float64).log()


def expected_gradient(
    algorithm: Algorithm, theta: Tensor, teacher: Tensor = TEACHER, **columns: Any
) -> Tensor:
    """[4]: of the loss on one sampled answer, averaged over all answers, in the logits.

    On-policy: what sampled, what was before the update and the policy are one.
    """
    leaf = theta.clone().requires_grad_()
    logprobs = leaf.log_softmax(0)
    fixed = logprobs.detach()[:, None]
    names = {"old_logprobs", "rollout_logprobs"} & algorithm.reads
    given = {"teacher_logprobs": teacher[:, None], "advantages": [0.0] * 4, **columns}
    batch = tokens(fixed, **{name: fixed for name in names}, **given)
    alone = 4 * gradient_of(algorithm, batch)[:, 0]  # as if each answer were the whole step
    (gradient,) = torch.autograd.grad((fixed[:, 0].exp() * alone * logprobs).sum(), leaf)
    return gradient


def exact_gradient(objective: Callable[[Tensor], Tensor], theta: Tensor) -> Tensor:
    """[4]: of a function of all four log-probs, in the logits."""
    leaf = theta.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(objective(leaf.log_softmax(0)), leaf)
    return gradient


def reverse_kl(logprobs: Tensor, teacher: Tensor = TEACHER) -> Tensor:
    """Nats: KL(pi || teacher)."""
    return (logprobs.exp() * (logprobs - teacher)).sum()
