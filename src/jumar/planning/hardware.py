"""GPUs by the figures that their maker publishes; dense, without sparsity."""

from dataclasses import dataclass, replace

from jumar.engines.settings import PlanSettings
from jumar.errors import ConfigurationError, nearest


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """What one GPU has; links in one direction, which is half of what is published of NVLink."""

    name: str
    memory: float  # bytes
    flops: float  # of bfloat16 matrices, per second
    bandwidth: float  # of its memory, bytes per second
    link: float  # to the other GPUs of its node, bytes per second
    network: float  # to other nodes, bytes per second
    source: str


GPUS = {
    "a100": Gpu(
        name="A100 80GB SXM", memory=80e9, flops=312e12, bandwidth=2.039e12, link=300e9,
        network=25e9,
        source="NVIDIA A100 datasheet; DGX A100 user guide (one 200 Gb/s ConnectX-6 per GPU)",
    ),
    "h100": Gpu(
        name="H100 SXM", memory=80e9, flops=989e12, bandwidth=3.35e12, link=450e9, network=50e9,
        source="NVIDIA H100 datasheet; DGX H100 user guide (one 400 Gb/s ConnectX-7 per GPU)",
    ),
    "h200": Gpu(
        name="H200 SXM", memory=141e9, flops=989e12, bandwidth=4.8e12, link=450e9, network=50e9,
        source="NVIDIA H200 datasheet; DGX H200 user guide (one 400 Gb/s ConnectX-7 per GPU)",
    ),
}  # fmt: skip


def gpu_of(plan: PlanSettings) -> Gpu:
    """The GPU that is named, with the user's own numbers in place of the published ones."""
    if plan.gpu.lower() not in GPUS:
        raise ConfigurationError(
            f"`plan.gpu` is {plan.gpu}, and a plan needs one of {', '.join(GPUS)}, whose figures "
            f"are known. {nearest(plan.gpu.lower(), GPUS)} For another GPU set plan.memory, "
            "plan.flops, plan.bandwidth, plan.link and plan.network beside one of these."
        )
    known = GPUS[plan.gpu.lower()]
    own = {
        name: number
        for name in ("memory", "flops", "bandwidth", "link", "network")
        if (number := getattr(plan, name)) is not None
    }
    if not own:
        return known
    return replace(known, **own, name=f"{known.name} with your {', '.join(own)}")
