"""Keeps what verl's actor worker was given and what it made of it; and kills where it is told to.

VERL_USE_EXTERNAL_MODULES=watch makes verl import this in each of its processes, before our worker's
module is there. Each optimiser step becomes a file in $WATCHED: the mini-batch, the weights before,
the gradients and the loss.
"""

import os
import signal
import sys
from collections.abc import Iterator
from importlib.abc import MetaPathFinder
from importlib.util import find_spec
from pathlib import Path
from typing import Any

WORKER = "jumar.engines.verl.worker"
STEPS = 2  # before a process is killed


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

        kill("ray::WorkerDict")
        found: dict[str, Any] = {"batch": _plain(data), "weights": _whole(self, lambda p: p)}
        optimiser = self.engine.optimizer
        hook = optimiser.register_step_pre_hook(
            lambda *_: found.update(gradients=_whole(self, lambda p: p.grad))
        )
        output = train_batch(self, data)
        hook.remove()
        found["loss"] = output["metrics"]["loss"]
        folder = Path(os.environ["WATCHED"])
        torch.save(found, folder / f"{len(list(folder.glob('*.pt'))):03d}.pt")
        return output

    watched.__dict__.update(train_batch.__dict__)  # how verl calls it from other processes
    worker_class.train_batch = watched


def kill(title: str) -> None:
    """End this Ray's processes of that title, where $FAULT names it and the steps are done."""
    folder = Path(os.environ["WATCHED"])
    if os.environ["FAULT"] != title or len(list(folder.glob("*.pt"))) < STEPS:
        return
    struck(folder).touch()
    for process in processes():
        after_name = read(process / "stat").rpartition(b")")[2].split()
        ours = after_name[1:2] == [str(os.getppid()).encode()]  # the same raylet started it
        if ours and read(process / "cmdline").startswith(title.encode()):
            os.kill(int(process.name), signal.SIGKILL)


def struck(folder: Path) -> Path:
    """Made when a process was killed."""
    return folder / "struck"


def processes() -> Iterator[Path]:
    """The folder of each process."""
    return Path("/proc").glob("[0-9]*")


def read(file: Path) -> bytes:
    """What a process says of itself; nothing of one that is gone."""
    try:
        return file.read_bytes()
    except OSError:
        return b""


def _plain(data: Any) -> dict[str, Any]:
    """Rows of tensors and Python objects, out of verl's wrappers."""
    import torch

    columns = {name: data.get(name) for name in list(data.keys())}
    return {
        name: [row.clone() if isinstance(row, torch.Tensor) else row.data for row in c.unbind(0)]
        for name, c in columns.items()
        if hasattr(c, "unbind")
    }


def _whole(worker: Any, of: Any) -> dict[str, Any]:
    named = worker.engine.module.named_parameters()
    return {name: of(p).full_tensor().detach().clone() for name, p in named}


if "WATCHED" in os.environ and WORKER in sys.modules:
    watch(sys.modules[WORKER].JumarTrainingWorker)
elif "WATCHED" in os.environ:
    sys.meta_path.insert(0, AfterWorker())
