"""SPO-self-play: Self-Play Preference Optimization; the reward is how often a response beats the others to its prompt.

    R_i = mean over the others j of its group of P(y_i > y_j)            P = 1 if better, 1/2 if equal, 0 if worse
    L   = -(R_i - 1/2) * sum_t log pi(y_t)                               averaged over responses

A policy that plays against itself wins half of the time, so 1/2 is the mean of every group and the exact
baseline. Only the order of responses counts, never how far apart a rater puts them.

Paper: Swamy et al. 2024, A Minimaximalist Approach to Reinforcement Learning from Human Feedback, arXiv:2401.04056.   Code: none released that we know of.
Departs: the task's score is the rater here, the paper has a preference model, which need not be transitive; the paper leaves the learner open, and ours is `reinforce`. The reward itself, `win_rate`, goes into any algorithm.   Elsewhere: absent from TRL and verl; TRL's online DPO compares two responses only. Two other methods are called SPO: segment policy optimization, and a self-supervised one.   Changes: reward.   Also called: spo.
"""

from dataclasses import replace

from jumar.algorithm import Algorithm
from jumar.algorithms.reinforce import reinforce
from jumar.pieces import piece
from jumar.rewards import win_rate


def spo_self_play() -> Algorithm:
    """Best with rewards of many levels; of right and wrong alone it makes what `rloo` has, halved."""
    return replace(reinforce(baseline=0.5), name="spo_self_play", reward=piece(win_rate))
