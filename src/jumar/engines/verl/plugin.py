"""The entry point `verl.plugins`: it gives verl a trainer under the name jumar.

verl imports it at the end of `import verl`, in every process, whether somebody trains there or not,
and says nothing where that fails. So it waits until verl's trainers are imported; and a failure is
kept, and told to whoever asks for the trainer.
"""

import sys
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from typing import Any, NoReturn

from jumar.errors import EngineError

TRAINERS, OURS = "verl.trainer.ppo.v1", "jumar.engines.verl.trainer"


def load() -> None:
    """Register the trainer, or one that says why it could not be."""
    if "jumar.engines.verl.host" in sys.modules:
        return  # a worker: the trainers came with one of our own modules, which is not ready
    try:
        import_module("jumar.engines.verl.host").require_verl()
        import_module(OURS)
    except Exception as error:
        _register_refusal(error)


def _register_refusal(reason: Exception) -> None:
    base = import_module(f"{TRAINERS}.trainer_base")

    def refuse(cls: Any, config: Any) -> NoReturn:
        raise EngineError(
            f"verl was asked for trainer_mode=jumar, but jumar's trainer could not be loaded in "
            f"this process: {reason} Without it another algorithm would be trained. Mend that in "
            "the environment of this node and start again."
        ) from reason

    base.register_trainer("jumar")(type("Refusal", (base.PPOTrainer,), {"__new__": refuse}))


class AfterTrainers(MetaPathFinder):
    """Finds verl's trainers as ever, once, and loads ours after them."""

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> ModuleSpec | None:
        """The spec of that one module, with `load` behind its execution."""
        if fullname != TRAINERS:
            return None
        sys.meta_path.remove(self)
        spec = find_spec(fullname)
        loader: Any = spec.loader if spec else None
        run = loader.exec_module

        def run_and_load(module: Any) -> None:
            run(module)
            load()

        loader.exec_module = run_and_load
        return spec


if TRAINERS in sys.modules:
    load()
else:
    sys.meta_path.insert(0, AfterTrainers())
