"""jumar: post-training of language models with reinforcement learning from verifiable rewards.

    from jumar import Run, algorithms, tasks
    Run(model="tiny", task="gym:chain_sum", algorithm=algorithms.owpo()).train()

Names load on first use, so that `import jumar` costs milliseconds and needs no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jumar import algorithms as algorithms
    from jumar import tasks as tasks
    from jumar.run import Run as Run

__version__ = "0.1.0"
__all__ = ["Run", "algorithms", "tasks"]


def __getattr__(name: str) -> Any:
    if name == "Run":
        return import_module("jumar.run").Run
    if name in __all__:
        return import_module(f"jumar.{name}")
    raise AttributeError(f"module 'jumar' has no attribute {name!r}")
