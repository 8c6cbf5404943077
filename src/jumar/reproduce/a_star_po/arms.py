"""What is run: four methods, and A*-PO with other N, beta1, beta2 and with its filter."""

from collections.abc import Mapping
from typing import Any

from jumar.reproduce.study import Arm

FOUR = "gym:chain_sum?max_digits=1&max_terms=4&min_digits=1&min_terms=4&size=10000"
LONGER = "gym:chain_sum?max_digits=1&max_terms=6&min_digits=1&min_terms=5&size=10000"
SHARED: Mapping[str, Any] = {
    "model": "tiny",
    "task": FOUR,
    "program": {"name": "plain", "steps": 100},  # 25 epochs of 512 prompts, 128 a step
    "loading": {"threads": 1},
    "rollout": {
        "prompts": 128, "only_prompts": 512, "responses": 1,
        "max_prompt_tokens": 64, "max_response_tokens": 64, "max_refills": 0,
    },
    "optimiser": {
        "betas": [0.9, 0.95], "warmup_steps": 5, "minibatches": 2, "micro_batch_tokens": 4096,
    },
    "evaluation": {"every": 10, "prompts": 250, "samples": 2, "final_prompts": 0},
    "checkpoints": {"every": 50, "keep_last": 1, "keep_best": 0, "rollouts_every": 0},
}  # fmt: skip
TUNING = [
    # the critic's rate is ten times the policy's, as in the paper
    {"optimiser": {"learning_rate": rate, "critic_learning_rate": 10 * rate}}
    for rate in (1e-4, 3e-4, 1e-3)
]
BASELINES = ("ppo", "grpo", "rebel")
SAMPLES, BETAS, COEFS = (1, 2, 4, 8, 16, 32), (0.0, 0.25, 0.5, 1.0, 4.0, "mean"), (1e-4, 1e-3, 1e-2)
# 25 epochs of the prompts that are left, by the pass@N of the base: .51, .83, .96
FILTERED = {2: 51, 8: 83, 32: 96}


def _recipe(algorithm: Any, **groups: Any) -> dict[str, Any]:
    merged = {
        name: {**SHARED[name], **value} if isinstance(SHARED[name], dict) else value
        for name, value in groups.items()
    }
    return {**SHARED, **merged, "algorithm": algorithm}


def _a_star_po(*, beta: float = 1e-3, steps: int = 100, **program: Any) -> dict[str, Any]:
    return _recipe({"name": "a_star_po", "beta": beta}) | {
        "program": {"name": "a_star_po", "steps": steps, **program}
    }


def _short(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """A dozen steps; A*-PO samples its values anew, so that stage 1 is timed, too."""
    program = {**recipe["program"], "steps": 12}
    if program["name"] == "a_star_po":
        program["value_seed"] = 77
    return {**recipe, "program": program, "evaluation": {**recipe["evaluation"], "every": 0}}


PAIRS = {"responses": 2}
STUDIED = {
    "ppo": _recipe({"name": "ppo", "kl_coef": 1e-3}),
    # its minibatch counts responses, so twice as many responses make twice the updates
    "grpo": _recipe({"name": "grpo", "kl_coef": 1e-3}, rollout=PAIRS, optimiser={"minibatches": 4}),
    "rebel": _recipe({"name": "rebel", "eta": 1e3}, rollout=PAIRS),
    "a_star_po": _a_star_po(),
}
TITLES = {
    "ppo": "PPO",
    "grpo": "GRPO-2",
    "rebel": "REBEL-2",
    "a_star_po": "A*-PO",
}


def all_arms() -> list[Arm]:
    """The four methods, GRPO with as many updates, the same timed, and A*-PO's variants."""
    arms = [
        Arm(name=name, title=TITLES[name], recipe=recipe, seeds=5, tuned_as=name)
        for name, recipe in STUDIED.items()
    ]
    equal = {**STUDIED["grpo"], "optimiser": SHARED["optimiser"]}
    arms.append(
        Arm(name="grpo_equal", title="GRPO-2, as many updates", recipe=equal, seeds=3,
            tuned_as="grpo")
    )  # fmt: skip
    timed = {**STUDIED, "grpo_equal": equal}
    arms += [
        Arm(name=f"timed-{name}", title=name, recipe=_short(recipe), seeds=5, timed=True,
            tuned_as="grpo" if name == "grpo_equal" else name)
        for name, recipe in timed.items()
    ]  # fmt: skip
    variants: list[tuple[str, str, dict[str, Any]]] = [
        *((f"samples_{n}", f"N = {n}", {"samples": n}) for n in SAMPLES if n != 8),
        *((f"beta_value_{b}", f"beta1 = {b}", {"beta_value": b}) for b in BETAS if b != 0.5),
        *((f"beta_{b:g}", f"beta2 = {b:g}", {"beta": b}) for b in COEFS if b != 1e-3),
        *(
            (f"filter_{n}", f"N = {n}, filtered", {"samples": n, "steps": s, "drop_unsolved": True})
            for n, s in FILTERED.items()
        ),
    ]
    for name, title, settings in variants:
        recipe = _a_star_po(**settings)
        arms.append(Arm(name=name, title=title, recipe=recipe, seeds=3, tuned_as="a_star_po"))
    return arms
