"""A plugin of vLLM's CPU build, so that verl can put new weights into a running sampler.

The build repacks the weights of linear layers as it loads them and lets the originals go; here they
stay as they are. And what verl's receiver hands out are views of a buffer that it then closes; here
they are copies.
"""

from typing import Any


def register() -> None:
    """vLLM calls it in each of its processes."""
    import torch
    import vllm.model_executor.layers.utils as layers
    from verl.workers.rollout.vllm_rollout import bucketed_weight_transfer

    def plain(layer: Any, remove_weight: bool) -> None:
        layer.cpu_linear = torch.nn.functional.linear

    layers.dispatch_cpu_unquantized_gemm = plain
    receiver = bucketed_weight_transfer.BucketedWeightReceiver
    receive = receiver.receive_weights
    if getattr(receive, "copies", False):
        return

    def receive_copies(self: Any, on_bucket_received: Any) -> Any:
        def copied(weights: Any, last: bool) -> Any:
            return on_bucket_received([(name, w.clone()) for name, w in weights], last)

        return receive(self, copied)

    receive_copies.copies = True
    receiver.receive_weights = receive_copies
