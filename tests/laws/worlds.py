"""Random inputs for any algorithm, holding what it declares and nothing else; and the laws' table.

A world is one rollout and the columns that carry a gradient, kept raw: what stands at masked
positions is part of it, and goes through the one door like an engine's.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, wraps
from typing import Any

import pytest
import torch
from torch import Tensor

from jumar import algorithms
from jumar.algorithm import Algorithm, compute_signals, policy_loss, reduced_stats
from jumar.correction import corrected
from jumar.pieces import Piece
from jumar.schedules import linear
from jumar.types import (
    COLUMNS,
    CORE_COLUMNS,
    GRADIENT_COLUMNS,
    LossScale,
    Metrics,
    RolloutBatch,
    Signals,
    State,
    TokenBatch,
    sum_metrics,
)

VARIANTS: dict[str, list[dict[str, Any]]] = {
    "owpo": [
        {"active_samples": linear(3, 1, 10, clock="stage_step")},
        {"policy": "old_logprobs"},
        {"variant": "no_asymmetry"},
        {"variant": "no_locking"},
        {"variant": "no_acceleration"},
    ],
    "dapo": [{"overlong_limit": 5, "overlong_cache": 3}],
    "grpo": [{"kl_coef": 0.0}, {"kl_coef": linear(1.0, 0.0, 10)}],
    "ppo": [
        {"kl_coef": 0.1, "gamma": 0.9, "lam": 0.8},
        {"lam": 0.5, "critic_lam": 1.0, "entropy_coef": 0.01},
    ],
    "opd": [{"top_k": 2}],
    "bapo": [{"share": 0.7, "dual_clip": 3.0}],
    "gppo": [{"beta_low": 0.25, "dual_clip": None}],
    "topr": [{"level": "token", "behaviour": "old_logprobs", "baseline": -0.5}],
    "vapo": [{"alpha": 1.0, "nll_coef": 0.0}],
    "rebel": [{"eta": 0.5, "form": "code"}],
    "sft": [{"only_correct": True}],
    "erpd_student": [
        {"positives": "below", "kl_coef": 0.1, "entropy_coef": 0.01},
        {"moving": True},
    ],
    "implicit_ce": [{"agg": "mean", "beta": 1.0, "anchor": "ref_logprobs", "kl_coef": 0.01}],
    "token_mse": [{"negative_weight": 0.5}],
    "oreo": [{"kl_coef": 0.0}],
    "dro": [{"tau": 0.05}],
    "dqo": [{"lam": 0.9, "max_log_weight": None}],
    "sym_dapo": [{"estimator": "k3", "kl_coef": linear(1.0, 0.0, 10)}],
    "kdrl": [{"skip_correct": True, "kl_coef": 1.0}],
    "mopd": [{"mode": "clip", "alpha": 0.0}],
    "gkd": [{"beta": 0.0}, {"beta": 1.0, "top_k": 2}],
    "rlsd": [{"mix": linear(1.0, 0.0, 10)}],
    "tgdpo": [{"alpha": 2.0}],
    "disco": [{"score": "ratio", "tau": 1.0}, {"tau": None}],
    "reg_grpo": [{"floor": 1.0, "kl_coef": 0.0}],
    "trpa": [{"kl_coef": 0.0}],
    "pf_ppo": [{"kept": "best_random"}, {"kept": "best"}],
    "p3o_pairwise": [{"clipping": "joint", "kl_coef": 0.0}],
    "grpo_length_switch": [{"fraction": 1.0}],
    "treepo": [{"segment": 1}],
    "hbpo": [{"limit": 5}],
    "cgpo_codpo": [{"nll_coef": 0.0}],
    "sppo": [{"eta": 1.0}],
    "copo": [{"lam": None}],
    "inpo": [{"tau": 0.0}],
    "spo_segment": [{"kl_coef": 0.0}],
    "tip": [{"divergence_power": 1.0, "ratio": 0.3}],
    "scope": [{"student_sign": -1.0, "teacher_sign": 1.0}],
    "gdpo": [{"combine": "sum_then_normalise", "weights": (1.0, 0.5, 0.0)}],
}
CORRECTED: dict[str, dict[str, Any]] = {  # one of each kind, level and slot
    "owpo": {"kind": "truncated", "level": "token", "ratio_min": 0.8, "ratio_max": 1.25},
    "grpo": {"kind": "masked", "level": "geometric", "ratio_min": 0.8, "ratio_max": 1.25},
    "gspo": {"kind": "masked", "level": "token", "ratio_min": 0.5, "ratio_max": 5.0},
    "a_star_po": {"kind": "truncated", "level": "response", "ratio_max": 1.5},
}


def _subjects() -> dict[str, Algorithm]:
    found = {name: algorithms.get(name) for name in algorithms.names()}
    for name, variants in VARIANTS.items():
        for settings in variants:
            label = ", ".join(f"{k}={getattr(v, 'start', v)}" for k, v in settings.items())
            found[f"{name}({label})"] = algorithms.get(name, **settings)
    for name, settings in CORRECTED.items():
        label = ", ".join(str(value) for value in settings.values())
        found[f"{name}, corrected({label})"] = corrected(algorithms.get(name), **settings)
    return found


SUBJECTS = _subjects()
LAWS: dict[str, Callable[..., Any]] = {}
RESULTS: dict[tuple[str, str], str] = {}


def law(test: Callable[..., Any]) -> Callable[..., Any]:
    """A test of one subject, for all of them; what it returns or raises becomes a table's cell."""
    title = test.__name__.removeprefix("test_").replace("_", " ")

    @wraps(test)
    def recorded(subject: str) -> None:
        RESULTS[title, subject] = "broken"
        RESULTS[title, subject] = test(subject) or "holds"

    LAWS[title] = recorded
    return pytest.mark.parametrize("subject", SUBJECTS)(recorded)


@dataclass(frozen=True)
class World:
    algorithm: Algorithm
    rollout: Mapping[str, Tensor]
    live: Mapping[str, Tensor]
    seed: int = 7

    def rows(self, index: Tensor) -> "World":
        pick = (
            {n: c[index] for n, c in self.rollout.items()},
            {n: c[index] for n, c in self.live.items()},
        )
        return replace(self, rollout=pick[0], live=pick[1])

    def with_columns(self, **columns: Tensor) -> "World":
        return replace(self, rollout={**self.rollout, **columns})

    def built(self) -> RolloutBatch:
        return RolloutBatch.build(step=3, stage_step=2, seed=self.seed, **self.rollout)

    def signals(self, state: State | None = None) -> Signals:
        return self.signals_and_state(state)[0]

    def signals_and_state(self, state: State | None = None) -> tuple[Signals, State]:
        return self.first if state is None else compute_signals(self.algorithm, self.built(), state)

    @cached_property
    def first(self) -> tuple[Signals, State]:
        """Of a rollout before which there was none; computed once, for laws ask several times."""
        return compute_signals(self.algorithm, self.built(), self.algorithm.init_state())

    def tokens(self, leaves: Mapping[str, Tensor]) -> TokenBatch:
        signals, rollout = self.signals(), self.built()
        tokens = TokenBatch(columns=rollout.columns, step=3, stage_step=2, seed=self.seed)
        tokens = tokens.with_columns(advantages=signals.advantages, **signals.columns, **leaves)
        return replace(tokens, stats=reduced_stats(self.algorithm, [tokens]))


@dataclass(frozen=True)
class Result:
    loss: Tensor
    gradients: Mapping[str, Tensor | None]
    metrics: Metrics


def run(world: World, parts: Sequence[Tensor] | None = None) -> Result:
    """One optimiser step's loss and gradients, in the micro-batches that `parts` lists by rows."""
    leaves = {n: c.clone().requires_grad_() for n, c in world.live.items()}
    tokens = world.tokens(leaves)
    micro = [tokens.select(rows) for rows in parts] if parts else [tokens]
    scale = LossScale.of(tokens, reduced_stats(world.algorithm, micro))
    outputs = [policy_loss(world.algorithm, part, scale) for part in micro]
    loss = torch.stack([output.loss for output in outputs]).sum()
    loss.backward()
    gradients = {n: leaf.grad for n, leaf in leaves.items()}
    return Result(loss.detach(), gradients, sum_metrics(o.metrics for o in outputs))


def live_columns(algorithm: Algorithm) -> list[str]:
    """The columns that carry a gradient, of those that the algorithm gets."""
    requested = [divergence.column for divergence in algorithm.divergences]
    return ["logprobs", *sorted(GRADIENT_COLUMNS & algorithm.reads), *requested]


def world(
    algorithm: Algorithm,
    seed: int = 0,
    dtype: torch.dtype = torch.float64,
    sizes: Sequence[int] = (4, 3, 1, 4),
    length: int = 5,
) -> World:
    """Groups of these sizes in random order, with a hole in one mask and one empty response."""
    g = torch.Generator().manual_seed(seed)
    rows = sum(sizes)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=g, dtype=torch.float64).to(dtype)

    mask = torch.arange(length) < torch.randint(1, length + 1, (rows, 1), generator=g)
    mask[0], mask[0, 2:3] = True, False
    mask[1] = False
    group = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
    sample = torch.cat([torch.arange(size) for size in sizes])
    order = torch.randperm(rows, generator=g)
    prompt_of = torch.randint(1, 2**62, (len(sizes),), generator=g)
    columns = {
        "token_ids": torch.randint(0, 9, (rows, length), generator=g),
        "mask": mask,
        "truncated": torch.rand(rows, generator=g) < 0.3,
        "scores": normal(rows),
        "correct": torch.rand(rows, generator=g) < 0.5,
        "rewards": normal(rows),
        "group_ids": group[order],
        "prompt_ids": prompt_of[group[order]],
        "sample_ids": sample[order],
    }
    assert set(columns) == set(CORE_COLUMNS)
    alive = live_columns(algorithm)
    near = -normal(rows, length).abs() - 0.5  # a log-prob that all policies are close to
    for name in sorted(algorithm.reads - set(alive)):
        shape = {"BT": (rows, length), "BK": (rows, 3), "B": (rows,)}[COLUMNS[name].shape]
        column = normal(*shape)
        if COLUMNS[name].meaning.startswith("int"):
            column = torch.randint(0, 3, shape, generator=g)
        columns[name] = near + 0.3 * column if name.endswith("logprobs") else column
    live = {n: normal(rows, length) for n in alive}
    live["logprobs"] = near + 0.3 * live["logprobs"]
    return World(algorithm, columns, live, seed=seed)


def slots(algorithm: Algorithm) -> dict[str, Piece]:
    """The pieces of the record by the name of their slot."""
    names = type(algorithm).__dataclass_fields__
    return {n: v for n in names if isinstance(v := getattr(algorithm, n), Piece)}
