"""OPD: on-policy distillation; the student samples, and at every token moves towards its teacher.

    L = 1/tokens * sum_i sum_t KL(pi(. | y_<t) || pi_teacher(. | y_<t))      over the whole vocabulary

Paper: Agarwal et al. 2024, On-Policy Distillation of Language Models, arXiv:2306.13649.   Code: none released by the authors; https://github.com/huggingface/trl, trl/trainer/distillation_trainer.py.
Departs: purely on-policy (their lambda = 1) and reverse KL (their beta = 1), without their RL term; one mean over all tokens, where the paper averages within each response first.   Elsewhere: TRL's DistillationTrainer with its default beta=1, or its experimental GKDTrainer with lmbda=1, beta=1; verl's distillation estimates k3 from sampled tokens by default; other toolkits mean by OPD the reward of the sampled token alone, our `opd_sampled`; any beta is our `gkd`.   Changes: teacher.
"""

from jumar.algorithm import Algorithm
from jumar.ops.divergence import Divergence
from jumar.penalties.kl import requested_divergence
from jumar.pieces import piece


def opd(*, top_k: int | None = None) -> Algorithm:
    """Exact over the vocabulary, or over the teacher's `top_k` likeliest tokens."""
    divergence = Divergence(kind="reverse_kl", target="teacher", top_k=top_k)
    return Algorithm(name="opd", surrogate=piece(requested_divergence, divergence=divergence))
