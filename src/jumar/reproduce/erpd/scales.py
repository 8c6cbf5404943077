"""The five teachers on real models: recipes to be run elsewhere."""

from collections.abc import Mapping
from typing import Any

from jumar.reproduce.erpd.arms import TEACHERS
from jumar.reproduce.study import Scale


def _recipes(
    model: str, task: str, *, prompts: int, tokens: int, temperature: float
) -> dict[str, Mapping[str, Any]]:
    shared: dict[str, Any] = {
        "model": model,
        "task": task,
        "loading": {"dtype": "bfloat16", "gradient_checkpointing": True},
        "rollout": {
            "temperature": temperature, "max_prompt_tokens": 1024, "max_response_tokens": tokens,
        },
        "optimiser": {"learning_rate": 1e-6},
        "evaluation": {"every": 1, "prompts": 200, "samples": 4, "final_samples": 16},
    }  # fmt: skip
    program = {
        "name": "erpd", "batches": 1, "prompts": prompts, "responses": 16,
        "prompts_per_step": 32, "teacher_steps": 100, "student_steps": 32,
    }  # fmt: skip
    return {
        name: {**shared, "algorithm": algorithm, "program": {**program, **strategy}}
        for name, (_, algorithm, strategy) in TEACHERS.items()
    }


SCALES = {
    "small": Scale(
        needs=(
            "One GPU. By count, not measured: half a billion parameters take 1 GB in bfloat16, 6 "
            "of float32 copies and moments, 1 of a copy, and activations. Qwen2.5-0.5B-Instruct on "
            "GSM8K; all of it is ours."
        ),
        recipes=_recipes(
            "Qwen/Qwen2.5-0.5B-Instruct", "gsm8k", prompts=500, tokens=512, temperature=1.0
        ),
    ),
    "paper": Scale(
        needs=(
            "Qwen3-4B-Thinking-2507 with responses of 32k tokens. By count, not measured: 8 GB in "
            "bfloat16, 48 GB of float32 copies and moments, 8 GB of a copy, and activations of 32k "
            "tokens: more than one GPU of 80 GB, and our engine uses one by now. 1,000 prompts, 16 "
            "responses, temperature 0.6, the length and steps of 32 prompts are the paper's; the "
            "learning rate, 100 teacher steps and 32 student steps are ours or of its tables. It "
            "trains on POLARIS: give a file of it as task."
        ),
        recipes=_recipes(
            "Qwen/Qwen3-4B-Thinking-2507", "math", prompts=1000, tokens=32768, temperature=0.6
        ),
    ),
}
