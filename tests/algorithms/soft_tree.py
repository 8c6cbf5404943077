"""All responses of two tokens over a vocabulary of three, and the optimum under a KL penalty.

The best policy and its value for E[reward] - beta KL(pi || pi_ref), by backward induction:

    V*(s) = beta log sum_a pi_ref(a | s) exp(Q*(s, a) / beta)
    pi*(a | s) = pi_ref(a | s) exp((Q*(s, a) - V*(s)) / beta)
"""

from typing import Any

import torch
from torch import Tensor

from jumar.types import TokenBatch

from .hand import tokens

DOUBLE = torch.float64


def drawn(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=DOUBLE)


FIRST, SECOND = drawn(3, seed=0).log_softmax(-1), drawn(3, 3, seed=1).log_softmax(-1)
EARLY, LATE = drawn(3, seed=2), drawn(3, 3, seed=3)  # rewards of the first and of the second token


def of_responses(first: Tensor, second: Tensor) -> Tensor:
    """[9, 2]: numbers of the two tokens of every response."""
    return torch.stack([first[:, None].expand(3, 3), second], dim=-1).flatten(0, 1)


def optimum(beta: float) -> tuple[Tensor, Tensor]:
    """[9, 2] log-probs of pi*, and values V* before each token."""
    value_2 = beta * (SECOND + LATE / beta).logsumexp(-1)
    soft = EARLY + value_2
    value_1 = beta * (FIRST + soft / beta).logsumexp(-1)
    policy = of_responses(
        FIRST + (soft - value_1) / beta, SECOND + (LATE - value_2[:, None]) / beta
    )
    return policy, of_responses(value_1.expand(3), value_2[:, None].expand(3, 3))


def all_responses(logprobs: Tensor, values: Tensor, **columns: Any) -> TokenBatch:
    """Every response once, with its rewards and the reference's log-probs."""
    return tokens(
        logprobs,
        values=values,
        ref_logprobs=of_responses(FIRST, SECOND),
        token_rewards=of_responses(EARLY, LATE),
        rewards=of_responses(EARLY, LATE).sum(dim=1),
        **columns,
    )
