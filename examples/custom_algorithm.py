"""An algorithm of your own without touching the library: replace one word of the formula.

    python examples/custom_algorithm.py

OWPO's weight looks at the reference. This one looks at the token's own probability: what the policy
is already sure of counts less. It is DAPO in everything else, and the engine is told nothing.
"""

import argparse
from dataclasses import replace

from torch import Tensor

from jumar import Run, algorithms
from jumar.algorithm import Algorithm
from jumar.pieces import piece
from jumar.types import TokenBatch

TASK = "gym:chain_sum?min_terms=2&max_terms=3&min_digits=1&max_digits=1"


def doubt_weight(tokens: TokenBatch, *, floor: float) -> Tensor:
    """[B, T]: between `floor` for a certain token and 1 for an unlikely one."""
    return floor + (1 - floor) * (1 - tokens.logprobs.detach().exp())


def doubtful_dapo(*, floor: float = 0.5) -> Algorithm:
    """DAPO that spends its steps where the policy doubts."""
    weight = piece(doubt_weight, floor=floor)
    return replace(algorithms.dapo(), name="doubtful_dapo", token_weight=weight)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--out", default="runs/custom-algorithm")
    options = parser.parse_args()
    Run(
        model=options.model,
        task=TASK,
        algorithm=doubtful_dapo(),
        program={"name": "plain", "steps": options.steps},
        rollout={"prompts": 32, "responses": 8, "max_response_tokens": 48},
        optimiser={"learning_rate": 1e-3},
        evaluation={"final_prompts": 64, "final_samples": 4, "prompts": 32},
        out=options.out,
    ).train()


if __name__ == "__main__":
    main()
