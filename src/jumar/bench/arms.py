"""What is run: every algorithm on the same work, with what it needs beside the task."""

from collections.abc import Mapping
from typing import Any

from jumar import algorithms
from jumar.config.sources import merged
from jumar.engines.local.provision import PROVIDED_HERE, needs
from jumar.engines.local.tiny import EMBEDDED
from jumar.reproduce.study import Arm

TRAINED = "two or three terms"
TASKS = {TRAINED: EMBEDDED}
SEEDS, STEPS, PROMPTS, RESPONSES, LIMIT = 3, 30, 8, 8, 48
RATES = (1e-4, 3e-4, 1e-3)
SHARED: Mapping[str, Any] = {
    "model": "tiny",
    "task": EMBEDDED,
    "program": {"name": "plain", "steps": STEPS},
    "loading": {"threads": 1},
    "rollout": {
        "prompts": PROMPTS, "responses": RESPONSES,
        "max_prompt_tokens": 64, "max_response_tokens": LIMIT, "max_refills": 0,
    },
    "optimiser": {
        "learning_rate": RATES[1], "critic_learning_rate": 1e-3, "betas": [0.9, 0.95],
        "minibatches": 2, "micro_batch_tokens": 4096,
    },
    "evaluation": {"every": STEPS, "prompts": 200, "samples": 2, "final_prompts": 0},
    "checkpoints": {"every": STEPS, "keep_last": 1, "keep_best": 0, "rollouts_every": 0},
}  # fmt: skip
TEACHER = Arm(
    name="teacher",
    title="the teacher (GRPO, four times the budget)",
    recipe=merged(
        SHARED,
        {
            "algorithm": {"name": "grpo", "kl_coef": 0.0},
            "program": {"steps": 2 * STEPS},
            "rollout": {"prompts": 2 * PROMPTS},
        },
    ),
    seeds=1,
)
# what a card gives in tokens or in steps of a paper's run, at the size of this one
SCALED: Mapping[str, Mapping[str, Any]] = {
    "dr_grpo": {"length": LIMIT},
    "grpo_d": {"steps": STEPS},
    "kdrl": {"kl_steps": STEPS},
    "mdpo_mirror": {"kl_steps": STEPS},
    "open_rs": {"limit": LIMIT},
    "seed_grpo": {"length": LIMIT},
    "train_long_think_short": {"budget_start": 24.0, "every": STEPS // 3},
    "treepo": {"segment": 4},
    "vapo": {"alpha": 2.5},
}
_STAGED = {"only_prompts": 480, "prompts": 6, "responses": 8}  # stage 1 samples 480 of 1,920
_ROWS: Mapping[str, Any] = {
    "task": "jumar.bench.rows:demonstrations",
    "rollout": {"source": "dataset", "prompts": PROMPTS * RESPONSES, "responses": 1},
}
_PAIRS: Mapping[str, Any] = {
    "task": "jumar.bench.rows:pairs",
    "rollout": {"source": "dataset", "prompts": PROMPTS * RESPONSES // 2},
}
_CGPO: Mapping[str, Any] = {
    "program": {"name": "cgpo", "steps": STEPS, "samples": 1}, "rollout": _STAGED,
}  # fmt: skip
# where the same budget has to be spent otherwise
OTHERWISE: Mapping[str, Mapping[str, Any]] = {
    "a_star_po": {
        "program": {"name": "a_star_po", "steps": STEPS, "samples": 2},
        "rollout": {"only_prompts": 240, "prompts": 48, "responses": 1},
    },
    "cgpo_crpg": _CGPO,
    "cgpo_crraft": _CGPO,
    "erpd_student": {
        "algorithm": {"name": "sapo"},
        "program": {
            "name": "erpd", "batches": 1, "prompts": PROMPTS * STEPS, "responses": RESPONSES,
            "prompts_per_step": 4, "teacher_steps": 40, "student_steps": 20,
        },
    },
    "spo_segment": {"rollout": {"prompts": 2, "responses": 4}},
    **dict.fromkeys(("sft", "dft"), _ROWS),
    **dict.fromkeys(("dpo", "simpo", "tgdpo"), _PAIRS),
}  # fmt: skip
# the columns that no engine of ours gives, with what would have to give them
NOT_RUN = {
    name: sorted(missing)
    for name in algorithms.names()
    if name not in OTHERWISE and (missing := algorithms.get(name).reads - PROVIDED_HERE)
}


def recipe(name: str) -> Mapping[str, Any]:
    """Of one algorithm; what it is taught by, it is given."""
    own: dict[str, Any] = {"algorithm": {"name": name, **SCALED.get(name, {})}}
    if needs(algorithms.get(name), "teacher"):
        own["teacher"] = "@teacher/last"
    found: Mapping[str, Any] = merged(merged(SHARED, own), OTHERWISE.get(name, {}))
    return found


ARMS = [
    Arm(name=name, title=name, recipe=recipe(name), seeds=SEEDS, tuned_as=name)
    for name in algorithms.names()
    if name not in NOT_RUN
]
TUNING: Mapping[str, list[Mapping[str, Any]]] = {
    arm.name: [{"optimiser": {"learning_rate": rate}} for rate in RATES] for arm in ARMS
}
