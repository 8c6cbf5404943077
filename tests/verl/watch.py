"""Keeps what verl's actor worker was given and what it made of it.

VERL_USE_EXTERNAL_MODULES=watch makes verl import this in each of its processes, before our worker's
module is there. Each optimiser step becomes a file in $WATCHED: the mini-batch, the weights before,
the gradients and the loss.
"""

import os
import sys
from importlib.abc import MetaPathFinder
from importlib.util import find_spec
from pathlib import Path
from typing import Any

WORKER = "jumar.engines.verl.worker"


class AfterWorker(MetaPathFinder):
    """Watches the worker as soon as it is imported."""

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> Any:
        if fullname != WORKER:
            return None
        sys.meta_path.remove(self)
        spec = find_spec(fullname)
        run = spec.loader.exec_module

        def run_and_watch(module: Any) -> None:
            run(module)
            watch(module.JumarTrainingWorker)

        spec.loader.exec_module = run_and_watch
        return spec


def watch(worker_class: Any) -> None:
    """Put a recorder around its optimiser step."""
    train_batch = worker_class.train_batch

    def watched(self: Any, data: Any) -> Any:
        import torch

        found: dict[str, Any] = {"batch": _plain(data), "weights": _whole(self, lambda p: p)}
        optimiser = self.engine.optimizer
        hook = optimiser.register_step_pre_hook(
            lambda *_: found.update(gradients=_whole(self, lambda p: p.grad))
        )
        output = train_batch(self, data)
        hook.remove()
        found["loss"] = output["metrics"]["loss"]
        folder = Path(os.environ["WATCHED"])
        torch.save(found, folder / f"{len(list(folder.iterdir())):03d}.pt")
        return output

    watched.__dict__.update(train_batch.__dict__)  # how verl calls it from other processes
    worker_class.train_batch = watched


def _plain(data: Any) -> dict[str, Any]:
    """Rows of tensors and Python objects, out of verl's wrappers."""
    import torch

    columns = {name: data.get(name) for name in list(data.keys())}
    return {
        name: [row.clone() if isinstance(row, torch.Tensor) else row.data for row in c.unbind()]
        for name, c in columns.items()
        if hasattr(c, "unbind")
    }


def _whole(worker: Any, of: Any) -> dict[str, Any]:
    named = worker.engine.module.named_parameters()
    return {name: of(p).full_tensor().detach().clone() for name, p in named}


if WORKER in sys.modules:
    watch(sys.modules[WORKER].JumarTrainingWorker)
else:
    sys.meta_path.insert(0, AfterWorker())
