"""AdamW for weights of any precision.

bfloat16 has 8 significant bits: next to a weight of 0.02, an update of 1e-6 rounds to nothing, and
in float16 AdamW's eps itself is 0. So weights that are not float32 have a float32 copy, which is
what is trained; the model gets it rounded after each step. Moments are float32 too.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn


class MasterAdamW(torch.optim.AdamW):
    """torch's AdamW, computed on a float32 copy of each weight: `state[weight]["master"]`."""

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One update of every copy from its weight's gradient, then of the weight."""
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    state = self.state[weight] or self._started(weight)
                    _update(state, weight.grad.float(), group)
                    weight.copy_(state["master"])

    def _started(self, weight: Tensor) -> dict[str, Tensor]:
        master = weight.detach().float().clone()
        started = {
            "step": torch.zeros(()),
            "master": master,
            "exp_avg": torch.zeros_like(master),
            "exp_avg_sq": torch.zeros_like(master),
        }
        self.state[weight] = started
        return started


def _update(state: dict[str, Tensor], gradient: Tensor, group: dict[str, Any]) -> None:
    state["step"] += 1
    step, rate, (first, second) = float(state["step"]), group["lr"], group["betas"]
    state["master"].mul_(1 - rate * group["weight_decay"])
    state["exp_avg"].lerp_(gradient, 1 - first)
    state["exp_avg_sq"].mul_(second).addcmul_(gradient, gradient, value=1 - second)
    scale = (state["exp_avg_sq"] / (1 - second**step)).sqrt_().add_(group["eps"])
    state["master"].addcdiv_(state["exp_avg"], scale, value=-rate / (1 - first**step))


def new_adamw(model: nn.Module, **settings: Any) -> torch.optim.AdamW:
    """AdamW over the weights that are trained: torch's own where all of them are float32."""
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    exact = all(weight.dtype == torch.float32 for weight in weights)
    return (torch.optim.AdamW if exact else MasterAdamW)(weights, **settings)
