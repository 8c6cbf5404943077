"""CGPO-CRPG: Calibrated Regularized Policy Gradient; a reward that passes the judges, shrinks with distance, and fits all prompts.

    R_i = sigmoid(r_i - r_baseline) * correct_i * max(1 - l_i / max_kl, 0)                     l_i = sum_t (log pi_old - log pi_ref)
    L   = mean_i -(R_i - mean R) * sum_t log pi(y_t)                                           mean R: over the rollout

Calibrated against a baseline's response to the same prompt, rewards of different prompts and tasks mean
the same; what breaks a constraint is worth nothing, however high its reward.

Paper: Xu et al. 2024, The Perfect Blend: Redefining RLHF with Mixture of Judges, arXiv:2409.20370.   Code: none released by the authors; a CGPOTrainer was proposed to TRL.
Departs: `correct` is the verdict of all judges; r_i is the task's reward, of which a verifier without partial credit gives 1 to all that pass. l_i is of the policy before the update. One sampler, one max_kl; the paper has settings per task. max_kl = 5.0 is that of the proposed trainer's example.   Elsewhere: absent from TRL 1.16 and verl. CGPO's two other optimisers are `cgpo_crraft` and `cgpo_codpo`.   Changes: reward.   Also called: crpg.
"""

from torch import Tensor

from jumar.aggregates import response_sum
from jumar.algorithm import Algorithm
from jumar.ops.masked import response_sum as sum_over_tokens
from jumar.pieces import piece, reads
from jumar.rewards import calibrated_reward
from jumar.surrogates.score_function import score_function
from jumar.types import RolloutBatch, Signals, State


@reads("baseline_rewards", "old_logprobs", "ref_logprobs")
def regularised_reward(rollout: RolloutBatch, *, max_kl: float) -> Tensor:
    """[B]: the calibrated reward, 0 where the response is max_kl nats likelier than the reference has it."""
    lead = sum_over_tokens(rollout.old_logprobs - rollout.ref_logprobs, rollout.mask)
    return calibrated_reward(rollout) * (1 - lead / max_kl).clamp(min=0)


def rollout_mean_baseline(rollout: RolloutBatch, state: State) -> tuple[Signals, State]:
    """[B]: reward - mean over all responses of the rollout."""
    return Signals(advantages=rollout.rewards - rollout.rewards.mean()), state


def cgpo_crpg(*, max_kl: float = 5.0) -> Algorithm:
    """`max_kl` is in nats of a whole response; the program `cgpo` gives the baseline's rewards."""
    return Algorithm(
        name="cgpo_crpg",
        reward=piece(regularised_reward, max_kl=max_kl),
        advantage=piece(rollout_mean_baseline),
        surrogate=piece(score_function),
        aggregate=piece(response_sum),
    )
