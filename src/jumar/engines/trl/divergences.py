"""Terms over the whole vocabulary, from the hidden states of the forward that TRL makes anyway."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from jumar.engines.local.forward import placed
from jumar.engines.local.models import backbone, lm_head
from jumar.ops.divergence import Divergence
from jumar.ops.logprobs import divergence


@contextmanager
def hidden_states(model: nn.Module, wanted: bool) -> Iterator[list[Tensor]]:
    """[B, S, D] of each forward of the model inside, where `wanted`; none otherwise."""
    found: list[Tensor] = []

    def keep(_module: Any, _arguments: Any, output: Any) -> None:
        found.append(output.last_hidden_state)

    hook = backbone(model).register_forward_hook(keep) if wanted else None
    try:
        yield found
    finally:
        if hook is not None:
            hook.remove()


def divergence_column(
    request: Divergence,
    mask: Tensor,
    *,
    model: nn.Module,
    hidden: Tensor,
    other: nn.Module | None,
    other_hidden: Tensor | None,
    temperature: float,
) -> Tensor:
    """[B, T] nats, with gradient to the model; `hidden` end with the [B, T] response tokens."""
    values = divergence(
        _predicting(hidden, mask),
        lm_head(model),
        None if other_hidden is None else _predicting(other_hidden, mask),
        None if other is None else lm_head(other),
        kind=request.kind,
        beta=request.beta,
        top_k=request.top_k or 0,
        temperature=temperature,
    )
    return placed(values, mask)


def _predicting(hidden: Tensor, mask: Tensor) -> Tensor:
    """[N, D]: the state before each token of the mask."""
    states = hidden[:, -mask.shape[1] - 1 : -1]
    return torch.as_tensor(states[mask])
