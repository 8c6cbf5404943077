"""Plain: one stage of training against the reference that the run started with.

The run's reference stays what it was:

    policy <- train(policy, reference, steps)
"""

from jumar.engines.contract import Trainer


def plain(trainer: Trainer, *, steps: int = 200) -> None:
    """`steps` of training, and nothing else."""
    trainer.train(steps=steps)
