"""A*-PO: sample the reference once for the value of each prompt, then train on single responses.

    stage 1    V*(x) = beta_value * log mean_n exp(r_n / beta_value)      n of `samples` responses
    stage 2    train(policy, steps) with V* as the stored column `optimal_values`

Stage 1 is done once for a set of prompts, a reference and a way of sampling: its rewards are kept
on disk, so runs with another seed or another beta_value start at stage 2. Its draws have a seed of
their own. `rollout.responses` is 1 in the paper's stage 2.

Paper: Brantley et al. 2025, Accelerating RL for LLM Reasoning with Optimal Advantage Regression,
arXiv:2505.20686, alg. 1.
Departs: nothing; `beta_value` 0 is the largest reward and "mean" their mean, the two limits.
"""

import math
from collections.abc import Sequence
from typing import Literal

from jumar.engines.contract import Trainer
from jumar.errors import ConfigurationError
from jumar.pieces import makes


@makes("optimal_values")
def a_star_po(
    trainer: Trainer,
    *,
    steps: int = 200,
    samples: int = 8,
    beta_value: float | Literal["mean"] = 0.5,
    value_seed: int = 0,
    drop_unsolved: bool = False,
) -> None:
    """`drop_unsolved` leaves out the prompts that no sample of the reference solved."""
    beta = math.inf if beta_value == "mean" else beta_value
    if beta < 0:
        raise ConfigurationError(
            f"`program.beta_value` is {beta}, but V* lies between the mean of the rewards and the "
            'largest, for values from infinity to 0. Set it to at least 0, or to "mean".'
        )
    found = trainer.reference_rewards(samples=samples, seed=value_seed)
    values = {prompt: optimal_value(r, beta=beta) for prompt, r in found.rewards.items()}
    unsolved = [prompt for prompt, right in found.correct.items() if not any(right)]
    trainer.train(
        steps=steps,
        values={"optimal_values": values},
        without=unsolved if drop_unsolved else (),
    )


def optimal_value(rewards: Sequence[float], *, beta: float) -> float:
    """V* of one prompt: between the mean of the rewards (beta infinite) and the largest (0)."""
    best = max(rewards)
    if beta == 0:
        return best
    if math.isinf(beta):
        return math.fsum(rewards) / len(rewards)
    # measured from the best one, so that no reward over a small beta overflows; less 1, so that
    # nothing is lost beside it under a large one
    mean = math.fsum(math.expm1((r - best) / beta) for r in rewards) / len(rewards)
    return best + beta * math.log1p(mean)
