"""SPPO: Self-Play Preference Optimization; regress each log-ratio to the last policy onto how often the response wins.

    P_i = mean over its group, itself among them, of P(y_i > y_j); 1/2 against itself
    L   = mean_i (sum_t (log pi - log pi_old) - eta * (P_i - 1/2))^2

The solution is a step of multiplicative weights, pi_old exp(eta P) / Z with log Z taken for eta / 2, by
which self-play comes to an equilibrium of the preferences, transitive or not.

Paper: Wu et al. 2024, Self-Play Preference Optimization for Language Model Alignment, arXiv:2405.00675, eq. 4.7.   Code: https://github.com/uclaml/SPPO, sppo/trainer.py and scripts/compute_prob.py (5e61c4e).
Departs: an iteration is a rollout, and the last policy the one that sampled it; the paper makes three iterations over a whole data set. All responses of a group are fitted, as in its algorithm; its code keeps the best and the worst of five. The task's score is the rater, the paper has a preference model, whose probabilities lie between 0 and 1. eta = 1000.0 is the paper's (the code's beta = 0.001 is 1 / eta): far more than any log-ratio, so that the learning rate decides how far a step goes.   Elsewhere: TRL's DPOTrainer, loss type "sppo_hard", which takes stored pairs, P = 1 and 0, and the sum of both squares; absent from verl.   Changes: preference.
"""

from torch import Tensor

from jumar.aggregates import response_mean
from jumar.algorithm import Algorithm
from jumar.ops.group import group_size
from jumar.ops.masked import response_sum
from jumar.pieces import piece, promises, reads
from jumar.rewards import win_rate
from jumar.types import RolloutBatch, TokenBatch


def win_rate_among_all(rollout: RolloutBatch) -> Tensor:
    """[B]: the part of its whole group that the response beats, itself a draw."""
    n = group_size(rollout.group_ids)
    return 0.5 + (win_rate(rollout) - 0.5) * (n - 1) / n


@promises("per_response")
@reads("old_logprobs")
def win_rate_regression(tokens: TokenBatch, *, eta: float) -> Tensor:
    """[B]: squared distance of the response's log-ratio from eta times its lead over a draw."""
    log_ratio = response_sum(tokens.logprobs - tokens.old_logprobs, tokens.mask)
    return (log_ratio - eta * (tokens.rewards - 0.5)).square()


def sppo(*, eta: float = 1000.0) -> Algorithm:
    """A large eta pushes at a constant rate; around 1 the log-ratios reach their targets."""
    return Algorithm(
        name="sppo",
        reward=piece(win_rate_among_all),
        surrogate=piece(win_rate_regression, eta=eta),
        aggregate=piece(response_mean),
        unit="response",
    )
