"""RLOO: REINFORCE whose baseline is the mean reward of the prompt's other responses.

    A_i = R_i - mean over j != i of R_j                         L = -A_i * sum_t log pi(y_t)

Paper: Ahmadian et al. 2024, Back to Basics: Revisiting REINFORCE Style Optimization, arXiv:2402.14740.   Code: none released by the authors; https://github.com/huggingface/trl, trl/trainer/rloo_trainer.py.
Departs: no KL inside the reward, where the paper has one; a group of one gets A = 0, since it has no others.   Elsewhere: TRL's RLOOTrainer has that KL (beta = 0.05) and a clipped ratio of whole responses around it, with this gradient on the first update at beta = 0; verl's estimator `rloo` gives a group of one its raw reward.   Changes: advantage.
"""

from jumar.advantages.group import leave_one_out
from jumar.aggregates import response_sum
from jumar.algorithm import Algorithm
from jumar.pieces import piece
from jumar.surrogates.score_function import score_function


def rloo() -> Algorithm:
    """No critic, no ratio, no clip, no setting."""
    return Algorithm(
        name="rloo",
        advantage=piece(leave_one_out),
        surrogate=piece(score_function),
        aggregate=piece(response_sum),
    )
