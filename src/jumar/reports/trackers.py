"""Four trackers behind one small interface: TensorBoard, Weights & Biases, trackio and MLflow.

    tracker = TRACKERS["mlflow"](TrackedRun(directory=directory, project="jumar", name="mine", ...))
    tracker.log(1, {"reward": 0.5})
    tracker.close(finished=True)

Where a tracker keeps its numbers, and whether it is online, its own environment variables say.
Nothing is caught here: `jumar.reports.tracking` decides what a failure means for the run.
"""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

from jumar.errors import ConfigurationError

LONGEST_PARAMETER = 500  # characters; MLflow's servers of today take 6000, those before less
PARAMETERS = 100  # in one request to MLflow


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackedRun:
    """What a tracker is told of a run when it begins or goes on."""

    directory: Path
    project: str
    name: str
    config: Mapping[str, Any]  # plain data
    known_as: str | None  # the tracker's own id of the run, if it has met it before


class Tracker(Protocol):
    """One run at one tracker."""

    known_as: str
    """The tracker's own id of the run, under which the run goes on after it was stopped."""

    def log(self, step: int, numbers: Mapping[str, float]) -> None:
        """Numbers that belong to a step; the same step may come again with other names."""
        ...

    def close(self, *, finished: bool) -> None:
        """Nothing more comes, because the run is finished, or because it stopped."""
        ...


class TensorBoard:
    """Event files in the run directory, for `tensorboard --logdir runs`; each row is flushed."""

    def __init__(self, run: TrackedRun) -> None:
        tensorboard = import_module("torch.utils.tensorboard")
        self._summary = import_module("tensorboard.compat.proto.summary_pb2").Summary
        self.known_as = "tensorboard"  # the folder: a run that goes on adds a file to it
        self._writer = tensorboard.FileWriter(str(run.directory / self.known_as))
        if run.known_as is None:
            lines = json.dumps(run.config, indent=2).splitlines()
            text = "\n".join("    " + line for line in lines)  # Markdown's way to keep it as it is
            self._writer.add_summary(tensorboard.summary.text("config", text), 0)

    def log(self, step: int, numbers: Mapping[str, float]) -> None:
        values = [
            self._summary.Value(tag=name, simple_value=number) for name, number in numbers.items()
        ]
        self._writer.add_summary(self._summary(value=values), step)  # one record: whole or not
        self._writer.flush()

    def close(self, *, finished: bool) -> None:
        self._writer.close()


class WeightsAndBiases:
    """A run of `wandb`. Its own counter goes by rows, so each row carries the step as `step`."""

    def __init__(self, run: TrackedRun) -> None:
        self._run = import_module("wandb").init(
            project=run.project,
            name=run.name,
            config=dict(run.config),
            id=run.known_as,
            resume="allow" if run.known_as else None,
            reinit="create_new",  # a run of the caller's own stays open beside it
        )
        self.known_as = self._run.id
        self._run.define_metric("step", hidden=True)
        self._run.define_metric("*", step_metric="step")

    def log(self, step: int, numbers: Mapping[str, float]) -> None:
        self._run.log({"step": step, **numbers})

    def close(self, *, finished: bool) -> None:
        self._run.finish(exit_code=0 if finished else 1)


class Trackio:
    """A run of `trackio`, which finds runs again by name, so that each gets a name of its own."""

    def __init__(self, run: TrackedRun) -> None:
        self._trackio = import_module("trackio")
        self.known_as = run.known_as or f"{run.name}-{uuid4().hex[:6]}"
        self._trackio.init(
            project=run.project, name=self.known_as, config=dict(run.config), resume="allow"
        )

    def log(self, step: int, numbers: Mapping[str, float]) -> None:
        self._trackio.log(dict(numbers), step=step)

    def close(self, *, finished: bool) -> None:
        self._trackio.finish()


class MLflow:
    """A run of an MLflow experiment, by its client, which leaves the caller's active run alone."""

    def __init__(self, run: TrackedRun) -> None:
        mlflow = import_module("mlflow")
        self._client, self._metric = mlflow.MlflowClient(), mlflow.entities.Metric
        if run.known_as is not None:
            self.known_as = run.known_as
            self._client.update_run(self.known_as, status="RUNNING")
            return
        number = mlflow.set_experiment(run.project).experiment_id
        self.known_as = self._client.create_run(number, run_name=run.name).info.run_id
        parameters = [
            mlflow.entities.Param(name, value[:LONGEST_PARAMETER])
            for name, value in _flat(run.config)
        ]
        for at in range(0, len(parameters), PARAMETERS):
            self._client.log_batch(self.known_as, params=parameters[at : at + PARAMETERS])

    def log(self, step: int, numbers: Mapping[str, float]) -> None:
        now = int(time.time() * 1000)
        metrics = [self._metric(name, number, now, step) for name, number in numbers.items()]
        self._client.log_batch(self.known_as, metrics=metrics)

    def close(self, *, finished: bool) -> None:
        self._client.set_terminated(self.known_as, "FINISHED" if finished else "FAILED")


TRACKERS: Mapping[str, Callable[[TrackedRun], Tracker]] = {
    "tensorboard": TensorBoard,
    "wandb": WeightsAndBiases,
    "trackio": Trackio,
    "mlflow": MLflow,
}


def check_installed(name: str) -> None:
    """Refuse a tracker whose package, which has the tracker's name, cannot be imported."""
    try:
        import_module(name)
    except ImportError as error:
        raise ConfigurationError(
            f"The tracker {name} needs the package {name}, to write what it shows, and it cannot "
            f"be imported ({error}). Install it with `pip install 'jumar[{name}]'`, or set "
            "tracker=none."
        ) from error


def _flat(config: Mapping[str, Any], above: str = "") -> list[tuple[str, str]]:
    """(dotted name, text) of every setting."""
    found = []
    for key, value in config.items():
        if isinstance(value, Mapping):
            found += _flat(value, f"{above}{key}.")
        else:
            found.append((above + key, value if isinstance(value, str) else json.dumps(value)))
    return found
