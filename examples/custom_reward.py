"""A reward of your own: right answers, and a little for every worked step, up to three.

    python examples/custom_reward.py

A reward function is named by `module:function` or `file.py:function`, because it runs in another
process: one that can be killed when it hangs. TRL's signature (prompts, completions, **columns)
works as well. Each part is logged by name; the task's verifier alone decides what is correct.
"""

import argparse
from pathlib import Path
from typing import Any

from jumar import Run

TASK = "gym:chain_sum?min_terms=2&max_terms=3&min_digits=1&max_digits=1"


def worked_steps(response: str, example: dict[str, Any]) -> float:
    """A third for every line with an equation, at most 1."""
    return min(1.0, sum("=" in line for line in response.splitlines()) / 3)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--out", default="runs/custom-reward")
    options = parser.parse_args()
    Run(
        model=options.model,
        task=TASK,
        algorithm={"name": "grpo", "kl_coef": 0.0},
        program={"name": "plain", "steps": options.steps},
        rewards=[{"function": f"{Path(__file__).resolve()}:worked_steps", "weight": 0.2}],
        rollout={"prompts": 32, "responses": 8, "max_response_tokens": 48},
        optimiser={"learning_rate": 1e-3},
        evaluation={"final_prompts": 64, "final_samples": 4, "prompts": 32},
        out=options.out,
    ).train()


if __name__ == "__main__":
    main()
