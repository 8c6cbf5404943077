"""What is run: six methods on a strong reference; iterations, ablations, knobs on a weak one."""

from collections.abc import Mapping
from typing import Any

from jumar.reproduce.study import Arm

TRAINED = "five or six terms"
TASKS = {
    TRAINED: "gym:chain_sum?max_digits=1&max_terms=6&min_digits=1&min_terms=5&size=10000",
    "four terms": "gym:chain_sum?max_digits=1&max_terms=4&min_digits=1&min_terms=4&size=10000",
}
STEPS = 60
SHARED: Mapping[str, Any] = {
    "model": "tiny",
    "task": TASKS[TRAINED],
    "program": {"name": "plain", "steps": STEPS},
    "loading": {"threads": 1},
    "rollout": {
        "prompts": 32, "responses": 8,
        "max_prompt_tokens": 64, "max_response_tokens": 64, "max_refills": 2,
    },
    "optimiser": {
        "learning_rate": 5e-4, "betas": [0.9, 0.95], "warmup_steps": 5,
        "minibatches": 2, "micro_batch_tokens": 4096,
    },
    "evaluation": {"every": 5, "prompts": 200, "samples": 2, "final_prompts": 0},
    "checkpoints": {"every": 60, "keep_last": 1, "keep_best": 0, "rollouts_every": 0},
}  # fmt: skip
TITLES = {
    "grpo": "GRPO",
    "dapo": "DAPO",
    "sym_dapo": "Sym-DAPO",
    "opd": "OPD",
    "mopd": "MOPD",
    "owpo": "OWPO",
}
BASELINES = tuple(name for name in TITLES if name != "owpo")
ALPHAS = (0.1, 0.5, 1.0, 5.0, 10.0, 50.0)
RANGES = ((0.8, 1.25), (0.5, 2.0), (0.25, 4.0))


def _with(name: str, **settings: Any) -> dict[str, Any]:
    return {"algorithm": {"name": name, **settings}}


def _active(end: int | None) -> dict[str, Any]:
    """All of a group's eight responses, or from eight down to a few of them over the run."""
    if end is None:
        return {}
    return {"active_samples": {"start": 8, "end": end, "steps": STEPS, "clock": "stage_step"}}


# six settings for each method, at one learning rate for all, as in the paper; its own searches are
# Sym-DAPO's coefficient and MOPD's alpha
TUNING: Mapping[str, list[Mapping[str, Any]]] = {
    "grpo": [
        _with("grpo", kl_coef=coef, clip_high=high)
        for coef in (0.0, 1e-3, 1e-2)
        for high in (0.2, 0.28)
    ],
    "dapo": [
        _with("dapo", clip_high=high, dual_clip=dual)
        for high in (0.2, 0.28, 0.4)
        for dual in (3.0, 10.0)
    ],
    "sym_dapo": [
        _with("sym_dapo", kl_coef=coef, estimator=kind)
        for coef in (1e-3, 1e-2, 1e-1)
        for kind in ("k2", "k3")
    ],
    "opd": [
        *(_with("opd", top_k=k) for k in (None, 16, 4)),
        *(_with("opd_sampled", coef=coef) for coef in (0.5, 1.0, 2.0)),
    ],
    "mopd": [_with("mopd", alpha=alpha) for alpha in ALPHAS],
    "owpo": [
        _with("owpo", w_min=low, w_max=high, **_active(end))
        for low, high in RANGES
        for end in (None, 2)
    ],
}


def _recipe(name: str, anchor: str | None = None, **settings: Any) -> dict[str, Any]:
    anchored = {"opd": "teacher", "mopd": "teacher"}.get(name, "reference")
    guided = {anchored: anchor} if anchor else {}
    return {**SHARED, "algorithm": {"name": name, **settings}, **guided}


def _strong(name: str) -> dict[str, Any]:
    return _recipe(name, None if name in ("grpo", "dapo") else "@reference/best")


def _weak(name: str, **settings: Any) -> dict[str, Any]:
    return _recipe(name, "@weak/last", **settings)


def _iterated(name: str, *, stages: int, steps: int, **settings: Any) -> dict[str, Any]:
    program = {"name": "ratchet", "stages": stages, "steps": steps, "swap": "best"}
    closer = {**SHARED["evaluation"], "samples": 8}  # saturation is read off validation scores
    return {**_weak(name, **settings), "program": program, "evaluation": closer}


# the reference is the best checkpoint of a tuned DAPO run, the weak one the end of a quarter of it
FOUNDATIONS = [
    Arm(
        name="reference",
        title="the reference (DAPO)",
        recipe=_recipe("dapo"),
        seeds=1,
        tuned_as="dapo",
    ),
    Arm(
        name="weak",
        title="the weak reference (DAPO)",
        recipe={**_recipe("dapo"), "program": {"name": "plain", "steps": STEPS // 4}},
        seeds=1,
        tuned_as="dapo",
    ),
]
VARIANTS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "owpo_weak": ("OWPO", _weak("owpo")),
    "no_asymmetry": ("OWPO without asymmetry", _weak("owpo", variant="no_asymmetry")),
    "no_locking": ("OWPO without locking", _weak("owpo", variant="no_locking")),
    "no_acceleration": ("OWPO without acceleration", _weak("owpo", variant="no_acceleration")),
    "range_1.25": ("w in [0.8, 1.25]", _weak("owpo", w_min=0.8, w_max=1.25)),
    "range_4": ("w in [0.25, 4]", _weak("owpo", w_min=0.25, w_max=4.0)),
    "range_10": ("w in [0.1, 10]", _weak("owpo", w_min=0.1, w_max=10.0)),
    "active_2": ("active samples 8 to 2", _weak("owpo", **_active(2))),
    "active_0": ("active samples 8 to 0", _weak("owpo", **_active(0))),
    "ratchet_owpo": ("OWPO, swapped every 10 steps", _iterated("owpo", stages=6, steps=10)),
    "ratchet_mopd": (
        "MOPD, swapped every 10 steps", _iterated("mopd", stages=6, steps=10, alpha=5.0)
    ),
    "swap_20": ("OWPO, swapped every 20 steps", _iterated("owpo", stages=3, steps=20)),
    "swap_30": ("OWPO, swapped every 30 steps", _iterated("owpo", stages=2, steps=30)),
}  # fmt: skip


def all_arms() -> list[Arm]:
    """Six methods with five seeds, then everything on the weak reference with three."""
    return [
        *(
            Arm(name=name, title=title, recipe=_strong(name), seeds=5, tuned_as=name)
            for name, title in TITLES.items()
        ),
        *(
            Arm(name=name, title=title, recipe=recipe, seeds=3)
            for name, (title, recipe) in VARIANTS.items()
        ),
    ]
