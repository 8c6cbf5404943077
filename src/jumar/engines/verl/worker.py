"""verl's workers with what a loss needs before it: counts of the whole optimiser step.

Every rank counts its rows of the mini-batch that verl is about to split, and the ranks add up. An
algorithm with `batch_stats` gets them from a pass without gradient over the same rows.
"""

from dataclasses import replace
from typing import Any

import torch
import torch.distributed

from jumar import __version__
from jumar.engines.verl.columns import OWN, STEP, padded
from jumar.engines.verl.host import (
    ActorRolloutRefWorker,
    Dispatch,
    TrainingWorker,
    make_nd_compute_dataproto_dispatch_fn,
    register,
    zmq,
)
from jumar.engines.verl.loss import JumarLoss, source_digest
from jumar.errors import EngineError
from jumar.pieces import Piece
from jumar.types import LossScale, Metrics, sum_metrics

SYNC_SECONDS = 25  # how long the sampler may say nothing about a bucket of weights


class JumarTrainingWorker(TrainingWorker):
    """Trains one model, the actor or the critic, with a JumarLoss and no other."""

    loss_fn: Any

    @register(dispatch_mode=Dispatch.ONE_TO_ALL)
    def set_loss_fn(self, loss_fn: Any) -> None:
        """A loss of verl's own is set first; ours has to be of this process's jumar."""
        if isinstance(loss_fn, JumarLoss) and loss_fn.made_by != source_digest():
            raise EngineError(
                f"The trainer's jumar has the source {loss_fn.made_by}, but this worker (rank "
                f"{self.rank}) has {__version__} with {source_digest()}. The loss would be "
                "another one here. Install the same jumar on every node and start again."
            )
        super().set_loss_fn(loss_fn)

    @register(
        dispatch_mode=make_nd_compute_dataproto_dispatch_fn(mesh_name="train"), blocking=False
    )
    def train_batch(self, data: Any) -> Any:
        """One optimiser step, whose loss knows the counts of all of it."""
        loss = self.loss_fn
        if not isinstance(loss, JumarLoss):
            raise EngineError(
                f"This worker (rank {self.rank}) is to train by {loss}, and not by "
                "jumar's loss, so the algorithm would not be the one that was named. Something "
                "replaced it after the start: remove what else calls set_loss_fn."
            )
        scale = self._scale(data)
        if loss.algorithm.batch_stats is not None:
            scale = replace(scale, stats=self._stats(data, loss, loss.algorithm.batch_stats))
        self.loss_fn = replace(loss, scale=scale)
        return super().train_batch(data)

    def _scale(self, data: Any) -> LossScale:
        mask = padded(data[f"{OWN}mask"])
        alive = mask.any(dim=1)
        group_ids = data[f"{OWN}group_ids"][alive].tolist()
        parts = self._gathered((int(mask.sum()), int(alive.sum()), set(group_ids)))
        tokens, responses, groups = zip(*parts, strict=True)
        return LossScale(
            tokens=torch.tensor(sum(tokens)),
            responses=torch.tensor(sum(responses)),
            groups=torch.tensor(len(set().union(*groups))),
            step=data[STEP],
            stage_step=data[STEP],
        )

    def _stats(self, data: Any, loss: JumarLoss, batch_stats: Piece) -> Metrics:
        """`batch_stats` over the rows of all ranks, by verl's own pass without gradient."""
        found: list[Metrics] = []

        def collect(model_output: Any, data: Any, dp_group: Any = None) -> Any:
            tokens = loss.tokens(model_output, data)
            found.append(batch_stats(tokens))
            return tokens.logprobs.new_zeros(()), {}

        self.loss_fn = collect
        super().infer_batch(data.clone(recurse=False))
        mine = {name: (s.cpu(), c.cpu()) for name, (s, c) in sum_metrics(found).items()}
        return sum_metrics(self._gathered(mine))

    def _gathered(self, mine: Any) -> list[Any]:
        """What every data-parallel rank has."""
        group = self.engine.get_data_parallel_group()
        everyone: list[Any] = [None] * torch.distributed.get_world_size(group)
        torch.distributed.all_gather_object(everyone, mine, group)
        return everyone


class JumarWorker(ActorRolloutRefWorker):
    """verl's worker whose actor is trained by jumar's loss; the reference is verl's own."""

    actor_worker_cls = JumarTrainingWorker

    @register(dispatch_mode=Dispatch.ONE_TO_ALL, blocking=False)
    async def update_weights(self, global_steps: int | None = None, mode: str = "auto") -> Any:
        """As verl does, which waits for good where the sampler does not take the weights."""
        for way in (zmq.SNDTIMEO, zmq.RCVTIMEO):
            zmq.Context.instance().setsockopt(way, 1000 * SYNC_SECONDS)
        try:
            return await super().update_weights(global_steps, mode)
        except zmq.Again as error:
            raise EngineError(
                f"verl's sampler said nothing for {SYNC_SECONDS} seconds about the weights of step "
                f"{global_steps}. It is gone, or could not load them, and would sample from other "
                "weights than those that were trained. Look for the reason above, in what "
                "vLLMHttpServer wrote, and start again: verl goes on from its last checkpoint."
            ) from error
