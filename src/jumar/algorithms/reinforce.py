"""REINFORCE: make each response likelier in proportion to its reward, less a constant baseline.

    L = -(R - b) * sum_t log pi(y_t)                            averaged over responses

Paper: Williams 1992, Simple statistical gradient-following algorithms for connectionist reinforcement learning, Machine Learning 8, 229-256.   Code: none released.
Departs: nothing; b = 0 unless set.   Elsewhere: no such name in TRL; verl's `reinforce_plus_plus` discounts and whitens, and its loss clips, none of which is done here.   Changes: advantage.
"""

from jumar.aggregates import response_sum
from jumar.algorithm import Algorithm
from jumar.pieces import piece
from jumar.surrogates.score_function import score_function
from jumar.types import RolloutBatch, Signals, State


def constant_baseline(
    rollout: RolloutBatch, state: State, *, baseline: float
) -> tuple[Signals, State]:
    """[B]: reward - baseline."""
    return Signals(advantages=rollout.rewards - baseline), state


def reinforce(*, baseline: float = 0.0) -> Algorithm:
    """The policy gradient itself, and the baseline to measure everything else by."""
    return Algorithm(
        name="reinforce",
        advantage=piece(constant_baseline, baseline=baseline),
        surrogate=piece(score_function),
        aggregate=piece(response_sum),
    )
