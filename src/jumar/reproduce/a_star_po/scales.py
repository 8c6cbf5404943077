"""The same four methods on real models: recipes to be run elsewhere."""

from collections.abc import Mapping
from typing import Any

from jumar.reproduce.study import Scale

PROMPTS = {"gsm8k": 7470, "math": 7500}  # training prompts: an epoch
BATCH, EPOCHS = 256, 25


def _recipes(model: str, task: str, epochs: int, tokens: int) -> dict[str, Mapping[str, Any]]:
    steps = epochs * PROMPTS[task] // BATCH
    shared: dict[str, Any] = {
        "model": model,
        "task": task,
        "program": {"name": "plain", "steps": steps},
        "loading": {"dtype": "bfloat16", "gradient_checkpointing": True},
        "rollout": {
            "prompts": BATCH, "responses": 1,
            "max_prompt_tokens": 256, "max_response_tokens": tokens, "max_refills": 0,
        },
        "optimiser": {"learning_rate": 1e-6, "critic_learning_rate": 1e-5, "minibatches": 2},
        "evaluation": {"every": 20, "prompts": 500, "samples": 1, "final_prompts": 1500},
    }  # fmt: skip
    pairs = {"rollout": {**shared["rollout"], "responses": 2}}
    twice = {"optimiser": {**shared["optimiser"], "minibatches": 4}}
    stages = {"name": "a_star_po", "steps": steps, "samples": 8, "beta_value": 0.5}
    return {
        "ppo": {**shared, "algorithm": {"name": "ppo", "kl_coef": 1e-3, "entropy_coef": 1e-4}},
        "grpo": {**shared, **pairs, **twice, "algorithm": {"name": "grpo", "kl_coef": 1e-3}},
        "rebel": {**shared, **pairs, "algorithm": {"name": "rebel", "eta": 1e3}},
        "a_star_po": {**shared, "program": stages, "algorithm": {"name": "a_star_po"}},
    }


SCALES = {
    "small": Scale(
        needs=(
            "One GPU. By count, not measured: half a billion parameters take 1 GB in bfloat16, 6 "
            "of float32 copies and moments, 1 of reference (PPO: the critic the same again), and "
            "activations. Qwen2.5-0.5B on GSM8K for 3 epochs; model, epochs and lengths are ours."
        ),
        recipes=_recipes("Qwen/Qwen2.5-0.5B", "gsm8k", 3, 512),
    ),
    "paper": Scale(
        needs=(
            "The paper trained on 4 H100 with verl: 7 to 15 hours a method at 1.5B, 11 to 21 at "
            "7B. Our engine is one process on one GPU; by count, not measured, 1.5B takes 3 GB in "
            "bfloat16, 18 GB of float32 copies and moments, 3 GB of reference (PPO: the critic the "
            "same again), and activations. For 3B and 7B set `model` to Qwen/Qwen2.5-3B or -7B. "
            "MATH, 25 epochs, batch 256, minibatch 128, learning rates 1e-6 and 1e-5, KL 1e-3, "
            "N = 8, beta1 = 0.5 and beta2 = 1e-3 are the paper's; dtype, checkpointing and how "
            "often is evaluated are ours, and the length of 1024 is the released scripts'. GRPO's "
            "entropy bonus of 1e-4 is left out."
        ),
        recipes=_recipes("Qwen/Qwen2.5-1.5B", "math", EPOCHS, 1024),
    ),
}
