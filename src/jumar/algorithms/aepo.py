"""AEPO: uncertain tokens count for more, and above the clip they keep a gradient.

    A_it = A_i (1 + entropy_coef * z_it)        z: the token's entropy, whitened over all tokens; A_i as in GRPO
    L    = max(-A r, -A clip(r, 1 - clip_low, (1 + clip_high) r / sg(r))), at most -A dual_clip where A < 0

r / sg(r) is 1 with the slope of log pi: a good token above the clip pulls like one that stands at it.

Paper: Dong et al. 2025, Agentic Entropy-Balanced Policy Optimization, arXiv:2510.14545.   Code: https://github.com/dongguanting/ARPO, AEPO/verl_aepo_entropy/verl/trainer/ppo/core_algos.py, read in a copy, multi-agent-deep-research/ARPO (870d54c).
Departs: only what acts on single turns; the budget of branches at tool calls is left out. The entropy is the sampling policy's, whitened over the rollout; the code has the current policy's, whitened over each micro-batch. entropy_coef = 0.2, clip_low = clip_high = 0.2, dual_clip = 3.0 and the mean over all tokens are the released run's; its own settings give the factor no entropy, so that it is 1 there. A token below the lower clip adds 0 to the value of the loss, not a constant.   Elsewhere: absent from TRL and verl; `gppo` keeps the gradient on both sides.   Changes: advantage.
"""

from jumar.advantages.group import group_normalised
from jumar.algorithm import Algorithm
from jumar.ops.masked import whitened
from jumar.pieces import piece, promises, reads
from jumar.surrogates.gradient_preserving import gradient_preserving_surrogate
from jumar.types import RolloutBatch, Signals, State


@promises("group_centred")
@reads("old_entropies")
def entropy_aware(
    rollout: RolloutBatch, state: State, *, entropy_coef: float, eps: float
) -> tuple[Signals, State]:
    """[B, T]: GRPO's advantage, larger on tokens of more than the usual entropy."""
    signals, state = group_normalised(rollout, state, eps=eps)
    surprise = whitened(rollout.old_entropies, rollout.mask)
    return Signals(advantages=signals.advantages[:, None] * (1 + entropy_coef * surprise)), state


def aepo(
    *,
    entropy_coef: float = 0.2,
    clip_low: float = 0.2,
    clip_high: float = 0.2,
    dual_clip: float | None = 3.0,
    eps: float = 1e-6,
) -> Algorithm:
    """A coefficient above 1 turns tokens of little entropy around."""
    return Algorithm(
        name="aepo",
        advantage=piece(entropy_aware, entropy_coef=entropy_coef, eps=eps),
        surrogate=piece(
            gradient_preserving_surrogate,
            clip_low=clip_low,
            clip_high=clip_high,
            beta_low=0.0,
            beta_high=1.0,
            dual_clip=dual_clip,
        ),
    )
