"""The same six methods on real models: recipes to be run elsewhere."""

from collections.abc import Mapping
from typing import Any

from jumar.reproduce.owpo.arms import ALPHAS
from jumar.reproduce.study import Scale

COEFS = (1e-3, 5e-3, 1e-2)  # ours: the paper's three are not in our copy


def _recipes(
    where: str, model: str, task: str, *, prompts: int, responses: int, tokens: int, steps: int
) -> dict[str, Mapping[str, Any]]:
    shared: dict[str, Any] = {
        "model": model,
        "task": task,
        "program": {"name": "plain", "steps": steps},
        "loading": {"dtype": "bfloat16", "gradient_checkpointing": True},
        "rollout": {
            "prompts": prompts, "responses": responses,
            "max_prompt_tokens": 1024, "max_response_tokens": tokens,
        },
        "optimiser": {"learning_rate": 1e-6, "weight_decay": 0.1, "minibatches": 16},
        "evaluation": {"every": 10, "prompts": 200, "final_samples": 16, "top_p": 0.7},
    }  # fmt: skip
    anchor = f"runs/{where}/dapo/stages/00-train/best"  # run DAPO first
    guided = {**shared, "reference": anchor}
    taught = {**shared, "teacher": anchor}
    iterated = {"name": "ratchet", "stages": 4, "steps": 80, "swap": "best"}
    return {
        "dapo": {**shared, "algorithm": {"name": "dapo"}},
        "grpo": {**shared, "algorithm": {"name": "grpo", "kl_coef": 1e-3}},
        **{
            f"sym_dapo_{coef:g}": {**guided, "algorithm": {"name": "sym_dapo", "kl_coef": coef}}
            for coef in COEFS
        },
        "opd": {**taught, "algorithm": {"name": "opd"}},
        **{
            f"mopd_{alpha:g}": {**taught, "algorithm": {"name": "mopd", "alpha": alpha}}
            for alpha in ALPHAS
        },
        "owpo": {**guided, "algorithm": {"name": "owpo"}},
        "owpo_iterated": {**guided, "algorithm": {"name": "owpo"}, "program": iterated},
    }


SCALES = {
    "small": Scale(
        needs=(
            "One GPU. By count, not measured: half a billion parameters take 1 GB in bfloat16, 6 "
            "of float32 copies and moments, 1 of reference or teacher, and activations. "
            "Qwen2.5-0.5B-Instruct on GSM8K, 200 steps of 32 prompts; all of it is ours."
        ),
        recipes=_recipes(
            "owpo-small",
            "Qwen/Qwen2.5-0.5B-Instruct",
            "gsm8k",
            prompts=32,
            responses=8,
            tokens=512,
            steps=200,
        ),
    ),
    "paper": Scale(
        needs=(
            "Qwen2.5-Math-7B with 8k tokens. By count, not measured: 15 GB in bfloat16, 92 GB of "
            "float32 copies and moments, 15 GB of reference or teacher, and activations: more than "
            "one GPU of 80 GB holds, and our engine uses one by now. Batch 512 and the length are "
            "the paper's, as are MOPD's six alphas, GRPO's KL and the swap every 80 steps; the "
            "learning rate, 16 responses, weight decay, top-p, steps and Sym-DAPO's coefficients "
            "are ours or DAPO's. It trains on DAPO-Math-17k: give a file of it as task."
        ),
        recipes=_recipes(
            "owpo-paper",
            "Qwen/Qwen2.5-Math-7B",
            "math",
            prompts=512,
            responses=16,
            tokens=8192,
            steps=320,
        ),
    ),
}
