"""GKD: move every next-token distribution towards the teacher's, on any mixture of whose text it is.

    M = (1 - beta) pi + beta pi_teacher
    L = mean_i mean_t (beta KL(pi_teacher || M) + (1 - beta) KL(pi || M))       over the whole vocabulary

At beta 0 and 1 it is KL(pi_teacher || pi) and KL(pi || pi_teacher), the limits of L / beta and of
L / (1 - beta).

Paper: Agarwal et al. 2024, On-Policy Distillation of Language Models: Learning from Self-Generated Mistakes, arXiv:2306.13649.   Code: none released by the authors; https://github.com/huggingface/trl, trl/experimental/gkd/gkd_trainer.py.
Departs: beta = 0.5 is TRL's default, the paper tries several. Rows are the policy's own samples or, with rollout.source=dataset, stored responses; the paper mixes both in one run. Without its RL term.   Elsewhere: TRL's experimental GKDTrainer, with one mean over all tokens; beta = 1 with that mean is our `opd`; verl has the forward KL over the teacher's likeliest tokens.   Changes: teacher.
"""

from jumar.aggregates import response_mean
from jumar.algorithm import Algorithm
from jumar.ops.divergence import Divergence
from jumar.penalties.kl import requested_divergence
from jumar.pieces import piece


def gkd(*, beta: float = 0.5, top_k: int | None = None) -> Algorithm:
    """Exact over the vocabulary, or over the teacher's `top_k` likeliest tokens and all the rest."""
    divergence = Divergence(kind="jsd", target="teacher", beta=beta, top_k=top_k)
    return Algorithm(
        name="gkd",
        surrogate=piece(requested_divergence, divergence=divergence),
        aggregate=piece(response_mean),
    )
