"""How far one policy is from another: estimates from sampled tokens, and requests for exact ones.

With u = log pi - log pi_other on tokens sampled from pi, all three estimate KL(pi || other):

    k1 = u        k2 = u^2 / 2        k3 = exp(-u) + u - 1

As a *differentiable loss* on samples of pi they are three different things, and k1 is a trap:

    E[grad k1] = 0      E[grad k2] = grad KL(pi || other)      E[grad k3] = grad KL(other || pi)
"""

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from jumar.ops.ratio import MAX_LOG_RATIO

KLEstimator = Literal["k1", "k2", "k3"]


def kl_estimate(logprobs: Tensor, other: Tensor, *, kind: KLEstimator) -> Tensor:
    """[B, T] nats: the estimate per sampled token."""
    u = (logprobs - other).clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO)
    match kind:
        case "k1":
            return u
        case "k2":
            return u.square() / 2
        case "k3":
            return (-u).exp() + u - 1


def force_reversal(advantages: Tensor, deviation: Tensor, beta: float) -> Tensor:
    """[B, T] bool: where a penalty of beta * k2 turns a token's update against its advantage.

    `deviation` is log pi - log pi_ref in nats. On-policy the update has the slope
    A - beta * deviation, against A where sign(A) * deviation > |A| / beta; A = 0 has no direction.
    """
    return beta * advantages.sign() * deviation > advantages.abs()


@dataclass(frozen=True, slots=True, kw_only=True)
class Divergence:
    """A request for a term over the whole vocabulary, which the engine answers as a [B, T] column.

    reverse_kl is KL(pi || target), forward_kl is KL(target || pi), jsd is the generalised
    Jensen-Shannon divergence with `beta`, entropy has no target. All in nats, with gradient to the
    current policy. `top_k` keeps the target's k likeliest tokens.
    """

    kind: Literal["reverse_kl", "forward_kl", "jsd", "entropy"]
    target: Literal["reference", "teacher"] | None = None
    beta: float = 0.5
    top_k: int | None = None

    @property
    def column(self) -> str:
        """The name of the column in which the answer arrives."""
        kind = f"jsd{self.beta:g}" if self.kind == "jsd" else self.kind
        return "_".join(str(p) for p in (kind, self.target, self.top_k and f"top{self.top_k}") if p)

    def __str__(self) -> str:
        return self.column
