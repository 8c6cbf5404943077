"""Weights that are dealt over the processes, by PyTorch's FSDP2 (`fully_shard`).

Each process keeps its part of every weight, gradient and moment. A block of the model is whole only
while it computes; embeddings and head, which the trainer uses apart from the model's own forward,
stay whole from a forward to its backward. Gradients are added over processes, not averaged: the
loss of a micro-batch is its share of the step's already. What no process dealt passes unchanged.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import (
    FSDPModule,
    MixedPrecisionPolicy,
    fully_shard,
    register_fsdp_forward_method,
)

from jumar.engines.local.distributed import (
    dealt_like,
    is_dealt,
    is_main,
    summed,
    whole,
    world,
)
from jumar.engines.local.models import backbone, save_model


def shard(model: Any) -> Any:
    """Deal the weights over the processes, in place; with one process there is nobody to deal to.

    Every block (of a decoder's first module list) is a unit, and what lies outside them is another.
    """
    weight: Tensor = next(model.parameters())
    if world() == 1:
        return model
    mesh = init_device_mesh(weight.device.type, (world(),))
    low = weight.dtype in (torch.bfloat16, torch.float16)
    policy = MixedPrecisionPolicy(reduce_dtype=torch.float32 if low else None)
    blocks = next(part for part in model.modules() if isinstance(part, nn.ModuleList))
    for part in (*blocks, model):
        fully_shard(part, mesh=mesh, mp_policy=policy)
        part.set_gradient_divide_factor(1.0)
        part.set_force_sum_reduction_for_comms(True)
    # hidden states come from the backbone alone, and have to count as the forward of the whole
    body = backbone(model)
    model.hidden_states = body.forward
    register_fsdp_forward_method(model, "hidden_states")
    body.forward = model.hidden_states
    return model


def shard_like(model: Any, other: nn.Module) -> Any:
    """Deal the weights over the processes if those of `other` are."""
    return shard(model) if is_sharded(other) else model


def is_sharded(model: nn.Module) -> bool:
    """Whether its weights are dealt over processes."""
    return isinstance(model, FSDPModule)


@contextmanager
def unsharded(model: nn.Module) -> Iterator[None]:
    """All weights are whole in here, so that each process may compute as much as it has to."""
    parts = [part for part in model.modules() if isinstance(part, FSDPModule)]
    for part in parts:
        part.unshard()
        part.set_reshard_after_forward(False, recurse=False)
    try:
        yield
    finally:
        for part in parts:
            part.set_reshard_after_forward(part is not parts[0], recurse=False)
            part.reshard()


def summed_and_clipped(model: nn.Module, limit: float) -> Tensor:
    """The norm of the gradients, which are added over processes (dealt ones are) and clipped."""
    for weight in model.parameters() if world() > 1 else ():
        if weight.requires_grad and not is_dealt(weight):
            gradient = torch.zeros_like(weight) if weight.grad is None else weight.grad
            weight.grad = summed(gradient)
    return whole(nn.utils.clip_grad_norm_(model.parameters(), limit))


def whole_on_main(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Whole tensors, those that are dealt in the main process's host memory, elsewhere nothing."""
    found = {}
    for name, tensor in tensors.items():
        every = whole(tensor)  # on the device one at a time
        if is_main():
            found[name] = every.cpu() if every is not tensor else tensor
    return found


def model_writer(model: nn.Module, tokenizer: Any) -> Callable[[Path], None]:
    """What writes a plain Hugging Face directory; all processes have to ask for it.

    Weights that are dealt over them are gathered here and now, so that the main one can write.
    """
    weights: dict[str, Tensor] | None = None
    if is_sharded(model):
        every = model.state_dict()  # has tied weights under each of their names
        own = [
            name for part in (model.named_parameters(), model.named_buffers()) for name, _ in part
        ]
        weights = whole_on_main({name: every[name] for name in own if name in every})
    return lambda directory: save_model(model, tokenizer, directory, weights)


def load_weights(model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Take over whole weights by their names."""
    if not is_sharded(model):
        model.load_state_dict(weights)
        return
    for name, weight in model.state_dict().items():
        weight.copy_(dealt_like(weights[name], weight))
