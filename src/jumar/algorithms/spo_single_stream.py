"""SPO single-stream: one response per prompt, judged against what the prompt has earned before.

    V_x = alpha / (alpha + beta), a Beta count of the prompt's verdicts that is kept across rollouts
    A_i = whitened over the batch (R_i - V_x)                        L = the clipped surrogate of A_i
    then   alpha = forgetting * alpha + sum of R,  beta = forgetting * beta + sum of 1 - R

No group, so no response waits for its siblings, and no group is wasted by being all right.

Paper: Xu and Ding 2025, Single-stream Policy Optimization, arXiv:2509.13232.   Code: https://github.com/verl-project/verl-recipe, spo.
Departs: forgetting = 0.875 is a constant, which the released code has as an option and as the least that its rule gives; that rule forgets by how far the policy has moved on the prompt's previous response, which an engine here does not keep. A new prompt starts at Beta(1/2, 1/2), as their code without values estimated offline. Prompts come in shuffled epochs, where theirs are drawn in proportion to sqrt(V (1 - V)) + 0.05: the curriculum does not see an algorithm's state. Several responses to one prompt count each. Rewards are to be 0 or 1.   Elsewhere: absent from TRL and verl itself.   Changes: advantage.   Also called: spo.
"""

import torch

from jumar.algorithm import Algorithm
from jumar.ops.group import group_centred, group_std, group_sum
from jumar.ops.per_prompt import no_prompts, recalled, remembered
from jumar.pieces import piece
from jumar.surrogates.clipped import clipped_surrogate
from jumar.types import RolloutBatch, Signals, State


def tracked_value(
    rollout: RolloutBatch, state: State, *, forgetting: float, eps: float
) -> tuple[Signals, State]:
    """[B]: distance from the prompt's tracked rate of success, whitened over all responses."""
    rewards, prompts = rollout.rewards, rollout.prompt_ids
    alpha, beta = (
        recalled(state, name, prompts, like=rewards, unknown=0.5) for name in ("alpha", "beta")
    )
    ahead = rewards - alpha / (alpha + beta)
    whole = torch.zeros_like(prompts)
    advantages = group_centred(ahead, whole) / (group_std(ahead, whole) + eps)
    state = remembered(
        state,
        prompts,
        alpha=forgetting * alpha + group_sum(rewards, prompts),
        beta=forgetting * beta + group_sum(1 - rewards, prompts),
    )
    return Signals(advantages=advantages), state


def spo_single_stream(
    *,
    forgetting: float = 0.875,
    clip_low: float = 0.2,
    clip_high: float = 0.28,
    dual_clip: float | None = 10.0,
    eps: float = 1e-8,
) -> Algorithm:
    """Meant for rollout.responses = 1 and many prompts; 1 / (1 - forgetting) verdicts are remembered."""
    return Algorithm(
        name="spo_single_stream",
        init_state=piece(no_prompts, columns=("alpha", "beta")),
        advantage=piece(tracked_value, forgetting=forgetting, eps=eps),
        surrogate=piece(
            clipped_surrogate, clip_low=clip_low, clip_high=clip_high, dual_clip=dual_clip
        ),
    )
