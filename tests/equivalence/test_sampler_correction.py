"""Corrections for the sampler: TRL's `vllm_importance_sampling_*` and verl's rollout correction."""

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

from jumar import algorithms
from jumar.algorithm import Algorithm
from jumar.correction import corrected
from jumar.types import TokenBatch
from jumar.weights.correction import masked_correction, sampler_ratio, truncated_correction

from .peers import Agreement, batch_of, ours, peer, theirs
from .test_verl import actor
from .trl_trainers import EQUAL_GROUPS, WARNINGS, policy_loss_of, policy_trainer

pytestmark = [pytest.mark.slow, *(pytest.mark.filterwarnings(w) for w in WARNINGS)]

PIECES = {"truncated": truncated_correction, "masked": masked_correction}
WIDE = {"ratio_min": 0.5, "ratio_max": 5.0}


@pytest.fixture
def wide_default() -> Iterator[None]:
    """TRL makes a tensor of the sampler's log-probs from Python's numbers."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def weight_of(tokens: TokenBatch, kind: str, **settings: Any) -> Tensor:
    weight: Tensor = PIECES[kind](tokens, **settings)
    assert (weight != sampler_ratio(tokens, settings["level"]))[tokens.mask].any()
    return weight


# --- verl


@pytest.fixture
def helper() -> ModuleType:
    return peer("verl.trainer.ppo.rollout_corr_helper")


def verls_weights(helper: ModuleType, tokens: TokenBatch, **settings: Any) -> Tensor:
    log_ratio = tokens.old_logprobs - tokens.rollout_logprobs
    weights: Tensor = helper.compute_rollout_correction_weights(log_ratio, tokens.mask, **settings)[
        0
    ]
    return weights


VERL_CASES: dict[str, tuple[Algorithm, str, str, dict[str, Any]]] = {
    "dapo": (algorithms.get("dapo"), "vanilla", "token-mean",
             {"clip_ratio_high": 0.28, "clip_ratio_c": 10.0}),
    "grpo": (algorithms.get("grpo", kl_coef=0.0), "vanilla", "seq-mean-token-mean",
             {"clip_ratio_c": 1e9}),
    "gspo": (algorithms.get("gspo", clip_low=0.2, clip_high=0.28), "gspo", "seq-mean-token-mean",
             {"clip_ratio_high": 0.28}),
}  # fmt: skip


@pytest.mark.parametrize("level", ["token", "response"])
@pytest.mark.parametrize("kind", ["truncated", "masked"])
@pytest.mark.parametrize("case", VERL_CASES)
def test_loss_and_gradient_are_verls_under_its_rollout_correction(
    case: str, kind: str, level: str, helper: ModuleType, agree: Agreement
) -> None:
    plain, name, mode, settings = VERL_CASES[case]
    bounds = {"ratio_max": 2.0} if kind == "truncated" else WIDE
    record = corrected(plain, kind=kind, level=level, **bounds)
    tokens = batch_of(record)
    threshold = 2.0 if kind == "truncated" else "0.5_5.0"
    granularity = {"token": "token", "response": "sequence"}[level]
    weights = verls_weights(helper, tokens, rollout_is=granularity, rollout_is_threshold=threshold)
    core = peer("verl.trainer.ppo.core_algos")

    def loss(logprobs: Tensor) -> Tensor:
        value: Tensor = core.get_policy_loss_fn(name)(
            old_log_prob=tokens.old_logprobs, log_prob=logprobs, advantages=tokens.advantages,
            response_mask=tokens.mask, loss_agg_mode=mode, config=actor(**settings),
            rollout_is_weights=weights,
        )[0]  # fmt: skip
        return value

    agree(
        f"{case}, {kind} {level} = verl {name}, rollout_is={granularity}, {threshold}",
        ours(record, tokens),
        theirs(loss, tokens.logprobs),
    )


def test_owpo_under_correction_is_verls_with_both_weights_in_its_place(
    helper: ModuleType, agree: Agreement
) -> None:
    """Our product of two weights, one of them ours alone, is one weight to verl."""
    record = corrected(algorithms.owpo(), kind="truncated", ratio_max=2.0)
    tokens = batch_of(record)
    both = algorithms.owpo().token_weight(tokens) * verls_weights(
        helper, tokens, rollout_is="token", rollout_is_threshold=2.0
    )
    core = peer("verl.trainer.ppo.core_algos")

    def loss(logprobs: Tensor) -> Tensor:
        value: Tensor = core.get_policy_loss_fn("vanilla")(
            old_log_prob=tokens.old_logprobs, log_prob=logprobs, advantages=tokens.advantages,
            response_mask=tokens.mask, loss_agg_mode="token-mean",
            config=actor(clip_ratio_high=0.28, clip_ratio_c=10.0), rollout_is_weights=both,
        )[0]  # fmt: skip
        return value

    agree(
        "owpo, truncated token = verl vanilla with both weights",
        ours(record, tokens),
        theirs(loss, tokens.logprobs),
    )


@pytest.mark.parametrize(
    ("level", "option"),
    [("token", "token_k1"), ("response", "seq_sum_k1"), ("geometric", "seq_mean_k1")],
)
def test_what_is_masked_is_what_verl_rejects(level: str, option: str, helper: ModuleType) -> None:
    """verl's k1 bounds the sampler over the trainer, so the bounds change sides; and it takes the
    rejected tokens out of the mean, where ours stay and weigh nothing.
    """
    tokens = batch_of(corrected(algorithms.dapo(), kind="masked"))
    bounds = {"ratio_min": 0.8, "ratio_max": 1.6}
    kept, _ = helper.compute_rollout_rejection_mask(
        tokens.old_logprobs - tokens.rollout_logprobs, tokens.mask,
        rollout_rs=option, rollout_rs_threshold=f"{1 / 1.6}_{1 / 0.8}",
    )  # fmt: skip
    mine = weight_of(tokens, "masked", level=level, **bounds)
    assert kept.any()
    assert torch.equal((mine > 0) & tokens.mask, kept.bool())


# --- TRL


TRL = {"token": "token", "response": "sequence", "truncated": "truncate", "masked": "mask"}


def trls_ratio(host: Any, tokens: TokenBatch) -> Tensor:
    """What the trainer makes of log-probs that the sampler reported: its own code, end to end."""
    rows = range(len(tokens))
    host._generate = lambda prompts: (
        [[3]] * len(tokens),
        tokens.token_ids.tolist(),
        tokens.mask.long().tolist(),  # a tool's tokens, and here also what is after the end
        [""] * len(tokens),
        tokens.rollout_logprobs.tolist(),
        {},
        None,
        [None] * len(tokens),
    )
    host.use_vllm = True
    host.chosen_logprobs = tokens.old_logprobs
    host.chosen_rewards = tokens.rewards[:, None]
    made: Tensor = host._generate_and_score_completions([{"prompt": "abc"[i // 4]} for i in rows])[
        "importance_sampling_ratio"
    ]
    return made


@pytest.mark.usefixtures("wide_default")
@pytest.mark.parametrize("level", ["token", "response"])
@pytest.mark.parametrize("kind", ["truncated", "masked"])
def test_loss_and_gradient_are_trls_under_its_importance_sampling(
    kind: str, level: str, tmp_path: Path, agree: Agreement
) -> None:
    record = corrected(algorithms.dapo(), kind=kind, level=level, **WIDE)
    tokens = batch_of(record, EQUAL_GROUPS)
    mode = f"{TRL[level]}_{TRL[kind]}"
    host = policy_trainer(
        "GRPO", tmp_path, loss_type="dapo", epsilon=0.2, epsilon_high=0.28, delta=10.0,
        vllm_importance_sampling_mode=mode, vllm_importance_sampling_clip_min=0.5,
        vllm_importance_sampling_clip_max=5.0,
    )  # fmt: skip
    ratio = trls_ratio(host, tokens)
    mine = weight_of(tokens, kind, level=level, **WIDE)
    agree.numbers(
        f"{kind} {level} = TRL vllm_importance_sampling {mode}",
        mine * tokens.mask,
        ratio * tokens.mask,
    )
    agree(
        f"dapo, {kind} {level} = TRL GRPOTrainer, {mode}",
        ours(record, tokens),
        theirs(policy_loss_of(host, tokens, importance_sampling_ratio=ratio), tokens.logprobs),
    )
