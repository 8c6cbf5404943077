"""Dr. GRPO: GRPO without its two biases, the division by the group's std and by the response's length.

    A_i = R_i - mean_g R
    L   = mean_i 1/length * sum_t max(-A_i r_t, -A_i clip(r_t, 1 - clip_low, 1 + clip_high))

Paper: Liu et al. 2025, Understanding R1-Zero-Like Training, arXiv:2503.20783.   Code: https://github.com/sail-sg/understand-r1-zero, train_zero_math.py.
Departs: nothing in the loss; length = 3000 is the generation budget of their scripts, set it to yours. Their code also gives a truncated response the reward 0, which is the verifier's affair here.   Elsewhere: TRL's loss type "dr_grpo" with scale_rewards="none"; verl has it as norm_adv_by_std_in_grpo=False with loss_agg_mode="seq-mean-token-sum-norm".   Changes: advantage.
"""

from dataclasses import replace

from jumar.advantages.group import group_mean_baseline
from jumar.aggregates import fixed_length_mean
from jumar.algorithm import Algorithm
from jumar.algorithms.grpo import grpo
from jumar.pieces import piece


def dr_grpo(*, clip_low: float = 0.2, clip_high: float = 0.2, length: int = 3000) -> Algorithm:
    """`length` in tokens, the response limit of the run."""
    return replace(
        grpo(clip_low=clip_low, clip_high=clip_high, kl_coef=0.0),
        name="dr_grpo",
        advantage=piece(group_mean_baseline),
        aggregate=piece(fixed_length_mean, length=length),
    )
