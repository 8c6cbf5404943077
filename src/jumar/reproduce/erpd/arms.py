"""What is run: five teachers with their students; steps, KL, ensembles, recovery; iterations."""

from collections.abc import Mapping
from typing import Any

from jumar.reproduce.study import Arm

TRAINED, LONGER = "four terms", "five or six terms"
TASKS = {
    TRAINED: "gym:chain_sum?max_digits=1&max_terms=4&min_digits=1&min_terms=4&size=10000",
    LONGER: "gym:chain_sum?max_digits=1&max_terms=6&min_digits=1&min_terms=5&size=10000",
}
STUDENT_STEPS = 16
PROGRAM: Mapping[str, Any] = {
    "name": "erpd", "batches": 1, "prompts": 256, "responses": 16, "prompts_per_step": 32,
    "teacher_steps": 64, "student_steps": STUDENT_STEPS, "learning_rate": 1e-4,
}  # fmt: skip
SHARED: Mapping[str, Any] = {
    "model": "tiny",
    "task": TASKS[TRAINED],
    "loading": {"threads": 1},
    "rollout": {
        "prompts": 64, "responses": 8,
        "max_prompt_tokens": 64, "max_response_tokens": 64, "max_refills": 0,
    },
    "optimiser": {"learning_rate": 3e-4, "betas": [0.9, 0.95], "micro_batch_tokens": 4096},
    "evaluation": {"every": 1, "prompts": 250, "samples": 4, "final_prompts": 0},
    "checkpoints": {"every": 64, "keep_last": 1, "keep_best": 0, "rollouts_every": 0},
}  # fmt: skip
TEACHERS: Mapping[str, tuple[str, Mapping[str, Any], Mapping[str, Any]]] = {
    "ppo": ("PPO", {"name": "vapo", "nll_coef": 0.0}, {}),  # its lambda follows the length
    "grpo": ("GRPO", {"name": "grpo", "kl_coef": 0.0, "clip_high": 0.28}, {}),
    "sapo": ("SAPO", {"name": "sapo"}, {}),
    "ce": ("CE", {"name": "implicit_ce"}, {}),
    "mse": ("MSE", {"name": "token_mse"}, {"strategy": "weak", "unlearn_steps": 8}),
}
STRONG = ("ppo", "grpo", "sapo", "ce")
# the same for each teacher
TUNING: Mapping[str, list[Mapping[str, Any]]] = {
    name: [
        {"program": {"name": "erpd", "learning_rate": rate, "teacher_steps": steps}}
        for rate in (3e-5, 1e-4, 3e-4)
        for steps in (24, 64)
    ]
    for name in TEACHERS
}


def _recipe(teacher: str, **program: Any) -> dict[str, Any]:
    _, algorithm, strategy = TEACHERS[teacher]
    return {**SHARED, "algorithm": algorithm, "program": {**PROGRAM, **strategy, **program}}


def _online(steps: int) -> dict[str, Any]:
    """Fully on-policy GRPO: one update for each rollout."""
    evaluation = {**SHARED["evaluation"], "every": 10}
    algorithm = {"name": "grpo", "kl_coef": 0.0, "clip_high": 0.28}
    program = {"name": "plain", "steps": steps}
    return {**SHARED, "algorithm": algorithm, "program": program, "evaluation": evaluation}


def _weak(recover: str, rate: float, weight: float) -> dict[str, Any]:
    return _recipe(
        "mse", recover=recover, unlearn_learning_rate=rate, negative_weight=weight,
        recover_beta=0.005,
    )  # fmt: skip


# (title, recipe, the teacher whose tuned settings it takes)
VARIANTS: Mapping[str, tuple[str, Mapping[str, Any], str | None]] = {
    "steps_32": ("SAPO, 32 student steps", _recipe("sapo", student_steps=32), "sapo"),
    "steps_32_kl_0.05": (
        "SAPO, 32 steps, KL 0.05", _recipe("sapo", student_steps=32, kl_coef=0.05), "sapo"
    ),
    "steps_32_kl_0.2": (
        "SAPO, 32 steps, KL 0.2", _recipe("sapo", student_steps=32, kl_coef=0.2), "sapo"
    ),
    "below": ("MSE, positives below 0", _recipe("mse", positives="below"), "mse"),
    "above": ("MSE, positives above 0", _recipe("mse", positives="above"), "mse"),
    "ensemble": (
        "CE and MSE in turn", _recipe("ce", strategy="ensemble", unlearn_steps=8), "ce"
    ),
    "ce_recovery": ("CE recovery, mild", _weak("implicit_ce", 1e-4, 1.0), "mse"),
    "sft_recovery": ("SFT recovery, mild", _weak("sft", 1e-4, 1.0), "mse"),
    "ce_recovery_severe": ("CE recovery, severe", _weak("implicit_ce", 3e-4, 4.0), "mse"),
    "sft_recovery_severe": ("SFT recovery, severe", _weak("sft", 3e-4, 4.0), "mse"),
    "batches": ("SAPO, 3 batches", _recipe("sapo", batches=3), "sapo"),
    "batches_control": (
        "SAPO, 3 batches, no student", _recipe("sapo", batches=3, strategy="none"), "sapo"
    ),
    "batches_control_short": (
        "SAPO, 3 batches, no student, 16 steps",
        _recipe("sapo", batches=3, strategy="none", teacher_steps=STUDENT_STEPS), None,
    ),
    "batches_entropy": (
        "SAPO, 3 batches, entropy 0.5", _recipe("sapo", batches=3, entropy_coef=0.5), "sapo"
    ),
    "switching": (
        "SAPO, 3 batches, 10 steps of GRPO after each",
        _recipe("sapo", batches=3, online_steps=10), "sapo",
    ),
    "online": ("GRPO on-policy, 40 steps", _online(40), None),
}  # fmt: skip


def all_arms() -> list[Arm]:
    """Five teachers with five seeds, the variants with three."""
    return [
        *(
            Arm(name=name, title=title, recipe=_recipe(name), seeds=5, tuned_as=name)
            for name, (title, _, _) in TEACHERS.items()
        ),
        *(
            Arm(name=name, title=title, recipe=recipe, seeds=3, tuned_as=tuned)
            for name, (title, recipe, tuned) in VARIANTS.items()
        ),
    ]
