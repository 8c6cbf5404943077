"""EMPG: confident responses are pushed harder, right or wrong, and uncertain ones more softly.

    h_i  = mean over tokens of the policy's entropy, scaled so that the batch spans 0 to 1
    g_i  = exp(-k h_i), over its mean in the batch, so that the factors have mean 1
    A_i  = g_i (R_i - mean_g R) / (std_g R + eps), less its mean in the batch        L as GRPO's

A policy's gradient is small where it is sure, so a confident error is hardly corrected; g makes up for it.

Paper: Wang et al. 2025, Harnessing Uncertainty: Entropy-Modulated Policy Gradients for Long-Horizon LLM Agents, arXiv:2509.09265.   Code: none released by the authors that we know of; formulas from a re-implementation, https://github.com/WillDreamer/ARLArena, recipe/shop_agent/ppo/core_algos.py.
Departs: one step per response, which is the single-turn part: an agent's h is of each step, and adds a bonus for steps that lead to clear ones, which a last step never has. k = 1 is theirs. GRPO's eps, clip and mean over all tokens are ours.   Elsewhere: absent from TRL and verl.   Changes: advantage.
"""

from torch import Tensor

from jumar.advantages.group import group_normalised
from jumar.algorithm import Algorithm
from jumar.ops.masked import response_mean
from jumar.pieces import piece, promises, reads
from jumar.surrogates.clipped import clipped_surrogate
from jumar.types import RolloutBatch, Signals, State


def confidence_factor(rollout: RolloutBatch, *, k: float) -> Tensor:
    """[B]: mean 1 over the responses that have a token, largest where the entropy is lowest."""
    alive = rollout.mask.any(dim=1)
    if not alive.any():
        return alive.to(rollout.rewards)
    entropy = response_mean(rollout.old_entropies, rollout.mask).to(rollout.rewards)
    least, most = entropy[alive].min(), entropy[alive].max()
    factor = (-k * (entropy - least) / (most - least + 1e-8)).exp() * alive
    return factor / factor[alive].mean()


@promises("group_centred")
@reads("old_entropies")
def entropy_modulated(
    rollout: RolloutBatch, state: State, *, k: float, eps: float
) -> tuple[Signals, State]:
    """[B]: GRPO's advantage times the factor, centred once more."""
    signals, state = group_normalised(rollout, state, eps=eps)
    modulated = signals.advantages * confidence_factor(rollout, k=k)
    return Signals(advantages=modulated - modulated.mean()), state


def empg(
    *, k: float = 1.0, clip_low: float = 0.2, clip_high: float = 0.2, eps: float = 1e-6
) -> Algorithm:
    """With k = 0 it is GRPO."""
    return Algorithm(
        name="empg",
        advantage=piece(entropy_modulated, k=k, eps=eps),
        surrogate=piece(clipped_surrogate, clip_low=clip_low, clip_high=clip_high),
    )
