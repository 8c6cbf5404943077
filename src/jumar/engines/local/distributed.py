"""Several processes as one: how work is dealt over them, and how what they found comes together.

torchrun and `accelerate launch` start one program several times and tell each its rank in the
environment. Every process holds the columns of the whole rollout. What costs time (sampling,
scoring, passes through models) is dealt over them and added up or gathered, so that all of them go
on from the same numbers and take the same decisions. Only the main process, rank 0, writes; where
a file decides, it looks and the others follow. With one process every verb gives back what it got.

Tensors and JSON travel, never a pickle: whoever reaches the port could send one.
"""

import atexit
import json
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn.functional import pad

from jumar import errors
from jumar.engines.settings import DistributedSettings
from jumar.errors import ConfigurationError, EngineError, JumarError
from jumar.types import Metrics

T = TypeVar("T")
# sums of these would overflow or round where those of one process do not
WIDE = {torch.bool: torch.int32, torch.bfloat16: torch.float32, torch.float16: torch.float32}
_alone = False  # whether the main process is in a part that the others wait for


@contextmanager
def together(settings: DistributedSettings, device: str = "auto") -> Iterator[None]:
    """The processes that were started with this one find each other; they part when they end.

    What a lost process does to the others is an EngineError of theirs.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    try:
        if count > 1 and not dist.is_initialized():
            _join(count, device, settings.deadline)
        yield
    except RuntimeError as error:
        if isinstance(error, JumarError) or not _lost(error):
            raise
        atexit.unregister(dist.destroy_process_group)  # it would wait for the lost one
        raise EngineError(
            f"Process {os.environ['RANK']} of {count} lost the others ({_first_line(error)}), but "
            f"it needs all of them: each holds a part of every step. One has ended, or did not "
            f"answer for {settings.deadline:g} minutes. Read what the first of them said, then "
            "start all of them again with --resume."
        ) from error


def _join(count: int, device: str, minutes: float) -> None:
    _refuse_other_engines()
    dist.init_process_group(_backend(device, count), timeout=timedelta(minutes=minutes))
    atexit.register(dist.destroy_process_group)


def world() -> int:
    """How many processes there are."""
    return 1 if _alone or not dist.is_initialized() else dist.get_world_size()


def rank() -> int:
    """Which of them this one is."""
    return 0 if _alone or not dist.is_initialized() else dist.get_rank()


def is_main() -> bool:
    """Whether this is the process that writes."""
    return rank() == 0


def summed(tensor: Tensor) -> Tensor:
    """The sum of everybody's tensor, of one shape; exact for bool where it is true in one only."""
    if world() == 1:
        return tensor
    total = tensor.to(WIDE.get(tensor.dtype, tensor.dtype), copy=True).contiguous()
    dist.all_reduce(total)
    return total.to(tensor.dtype)


def total(metrics: Metrics) -> Metrics:
    """(sum, count) pairs added over everybody, who has the same names in the same order."""
    return {name: (summed(value), summed(count)) for name, (value, count) in metrics.items()}


def is_dealt(tensor: Any) -> bool:
    """Whether each process has its part of it: a DTensor, whose import takes a second."""
    return hasattr(tensor, "full_tensor")


def whole(tensor: Tensor) -> Tensor:
    """All of a tensor that is dealt over processes; any other as it is."""
    return tensor.full_tensor() if is_dealt(tensor) else tensor  # type: ignore[attr-defined]


def dealt_like(tensor: Tensor, home: Tensor) -> Tensor:
    """A copy of a whole tensor as `home` has its own: on its device, and this process's part."""
    there = tensor.to(home.device, copy=True)
    if not is_dealt(home):
        return there
    from torch.distributed.tensor import distribute_tensor

    mesh, placements = home.device_mesh, home.placements  # type: ignore[attr-defined]
    return distribute_tensor(there, mesh, placements, src_data_rank=None)


def gathered(content: T) -> list[T]:
    """What each process has, JSON-able, by rank."""
    if world() == 1:
        return [content]
    text = torch.frombuffer(bytearray(json.dumps(content).encode()), dtype=torch.uint8)
    sizes = [torch.zeros(1, dtype=torch.long) for _ in range(world())]
    dist.all_gather(sizes, torch.tensor([len(text)]))
    longest = int(max(sizes))
    texts = [torch.zeros(longest, dtype=torch.uint8) for _ in sizes]
    dist.all_gather(texts, pad(text, (0, longest - len(text))))
    rows = zip(texts, sizes, strict=True)
    return [json.loads(bytes(row[: int(size)].numpy())) for row, size in rows]


def from_main(make: Callable[[], T]) -> T:
    """What `make` gives, JSON-able: only the main process runs it, alone, and the others wait.

    Everybody raises the error of a user that it raises.
    """
    global _alone
    if world() == 1:
        return make()
    made: tuple[T | None, str, str] = None, "", ""
    if is_main():
        _alone = True
        try:
            made = make(), "", ""
        except JumarError as error:
            made = None, type(error).__name__, str(error)
        finally:
            _alone = False
    result, kind, message = gathered(made)[0]
    if kind:
        raise getattr(errors, kind)(message)
    return result  # type: ignore[return-value]


def on_main(parts: Iterable[T]) -> Iterator[T]:
    """The parts, which everybody makes together, for the main process; nothing elsewhere."""
    for part in parts:
        if is_main():
            yield part


def check_alike(what: str, content: str) -> None:
    """Refuse processes that were started with something else than the main one."""
    texts = gathered(content)
    others = [process for process, text in enumerate(texts) if text != texts[0]]
    if others:
        raise ConfigurationError(
            f"Process {others[0]} of {world()} was started with another {what} than process 0, "
            "but all of them have to be of one run, since each computes a part of its gradients. "
            "Give every process the same command and the same files."
        )


def _backend(device: str, count: int) -> str:
    """NCCL beside gloo where models are on GPUs; each process takes the one of its local rank."""
    if device == "cpu" or not torch.cuda.is_available():
        return "gloo"
    local, there = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
    if local >= there:
        raise ConfigurationError(
            f"Process {os.environ['RANK']} of {count} is number {local} of its machine, which has "
            f"{there} GPUs, but each process needs one of its own, for its models. Start at most "
            f"{there} on a machine (--nproc-per-node={there}), or set loading.device=cpu."
        )
    torch.cuda.set_device(local)
    return "cpu:gloo,cuda:nccl"


def _refuse_other_engines() -> None:
    """`accelerate launch` configures engines of its own, which nothing here would read."""
    for name in ("FSDP", "DEEPSPEED", "MEGATRON_LM"):
        if os.environ.get(f"ACCELERATE_USE_{name}", "").lower() == "true":
            raise ConfigurationError(
                f"accelerate was configured for {name}, but jumar needs to deal the weights "
                "itself, because it samples from them, too. Launch without it "
                "(accelerate launch --multi_gpu), and set distributed.sharding=full."
            )


def _lost(error: Exception) -> bool:
    """Whether a collective failed; gloo raises a plain RuntimeError."""
    return isinstance(error, dist.DistError) or "gloo" in str(error)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
