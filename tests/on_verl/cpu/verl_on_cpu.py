"""A platform `cpu` for verl 0.9.1: VERL_PLATFORM=cpu VERL_USE_EXTERNAL_MODULES=verl_on_cpu.

verl knows accelerators only. This one is the processor: nothing to wait for, to empty or to
measure, and gloo between ranks. VERL_ENGINE_DEVICE=cuda chooses the engine, which is the same code.
Two things are no matter of the platform, and are replaced: verl names gloo twice for a processor,
which torch refuses, and the reference's weights would be pinned, for which there is no device.
"""

import types
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed.fsdp
import verl.utils.distributed
from verl.plugin.platform import PlatformBase, PlatformRegistry

GIGABYTE = 2**30


def _device_module() -> types.ModuleType:
    """What verl expects under the names of `torch.cuda`."""
    module = types.ModuleType("torch_cpu_device")
    silent = (
        "synchronize empty_cache ipc_collect set_device manual_seed manual_seed_all "
        "reset_peak_memory_stats set_rng_state"
    )
    for name in silent.split():
        setattr(module, name, lambda *_, **__: None)
    for name in ("allocated", "reserved"):
        setattr(module, f"memory_{name}", lambda *_, **__: 0)
        setattr(module, f"max_memory_{name}", lambda *_, **__: 0)
    module.mem_get_info = lambda *_: (8 * GIGABYTE, 16 * GIGABYTE)
    module.is_available = module.is_initialized = lambda: True
    module.device_count = lambda: 1
    module.current_device = lambda: torch.device("cpu")
    module.get_device_name = lambda *_: "CPU"
    module.get_rng_state = lambda *_: torch.get_rng_state()
    module.get_device_properties = lambda *_: types.SimpleNamespace(
        name="CPU", total_memory=16 * GIGABYTE, multi_processor_count=1
    )
    return module


@PlatformRegistry.register(platform="cpu")
class Processor(PlatformBase):
    device_name = "cpu"
    vendor_name = "cpu"
    device_module = _device_module()

    def is_available(self) -> bool:
        return True

    def current_device(self) -> Any:
        return torch.device("cpu")  # verl moves tensors to it

    def device_count(self) -> int:
        return 1

    def set_device(self, device_index: int) -> None:
        pass

    def synchronize(self, device_index: int | None = None) -> None:
        pass

    def manual_seed(self, seed: int) -> None:
        torch.manual_seed(seed)

    def manual_seed_all(self, seed: int) -> None:
        torch.manual_seed(seed)

    def set_allocator_settings(self, settings: str) -> None:
        pass

    def empty_cache(self) -> None:
        pass

    def get_device_capability(self, device_index: int = 0) -> tuple[None, None]:
        return None, None

    def communication_backend_name(self) -> str:
        return "gloo"

    def visible_devices_envvar(self) -> str:
        return "CUDA_VISIBLE_DEVICES"

    @contextmanager
    def nvtx_range(self, msg: str) -> Iterator[None]:
        yield

    def profiler_start(self) -> None:
        pass

    def profiler_stop(self) -> None:
        pass

    def ray_resource_name(self) -> str:
        return "GPU"  # a number that Ray is told, ray_init.num_gpus

    def ray_noset_envvars(self) -> list[str]:
        return []

    def is_ipc_supported(self) -> bool:
        return False  # weights go to the sampler through shared memory

    def cudart(self) -> None:
        return None


_start = verl.utils.distributed.initialize_global_process_group_ray


def _start_gloo(timeout_second: int | None = None, backend: str | None = None) -> None:
    _start(timeout_second, backend or "cpu:gloo")


verl.utils.distributed.initialize_global_process_group_ray = _start_gloo
torch.distributed.fsdp.CPUOffloadPolicy = lambda pin_memory=True: None
