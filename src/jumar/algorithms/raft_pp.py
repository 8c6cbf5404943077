"""RAFT-PP: RAFT++, rejection sampling as reinforcement learning; only right responses teach, under PPO's ratio and clip.

    L = mean over right responses of mean_t -min(r_t, clip(r_t, 1 - clip_low, 1 + clip_high))

Paper: Xiong et al. 2025, A Minimalist Approach to LLM Reasoning: from Rejection Sampling to Reinforce, arXiv:2504.11343, eq. 6.   Code: https://github.com/RLHFlow/Minimal-RL, verl/trainer/ppo/core_algos.py.
Departs: the paper keeps the best responses of each prompt, which are wrong ones where none is right; we keep right ones alone, as its code does. The clip of 0.2 is the code's. Its script runs with a KL loss (0.001) and an entropy bonus (0.001), which are left out.   Elsewhere: absent from TRL and verl. The released code leaves wrong responses in the batch with A = 0 and takes one mean over all tokens, theirs included. ROLL has it as a configuration.   Changes: keep.   Also called: raftpp.
"""

from jumar.aggregates import response_mean
from jumar.algorithm import Algorithm
from jumar.filters import keep_correct
from jumar.pieces import piece
from jumar.surrogates.clipped import clipped_surrogate
from jumar.types import RolloutBatch, Signals, State


def accepted(rollout: RolloutBatch, state: State) -> tuple[Signals, State]:
    """[B]: 1 for right responses, 0 for wrong ones that a host could not drop."""
    return Signals(advantages=rollout.correct.to(rollout.rewards)), state


def raft_pp(*, clip_low: float = 0.2, clip_high: float = 0.2) -> Algorithm:
    """Entropy falls fast without wrong responses; the paper's clip_high of 0.28 slows that down."""
    return Algorithm(
        name="raft_pp",
        keep=piece(keep_correct),
        advantage=piece(accepted),
        surrogate=piece(clipped_surrogate, clip_low=clip_low, clip_high=clip_high),
        aggregate=piece(response_mean),
    )
