"""TRL 1.16.0: rewards and what it makes of several of them, in float64."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from golden.batch import hashed_rollout, uniform
from jumar import algorithms
from jumar.algorithm import Algorithm

from .peers import Agreement, advantages_of, peer
from .trl_trainers import EQUAL_GROUPS, WARNINGS, advantages_by, policy_trainer

pytestmark = [pytest.mark.slow, *(pytest.mark.filterwarnings(w) for w in WARNINGS)]

WEIGHTS = (1.0, 0.5, 2.0)
FLOAT32 = 2e-8  # relative: TRL's n / (n - 1) is an integer division, so float32 in any case


def parts() -> Tensor:
    """[12, 3]: rewards of three functions, one of which has no opinion of two responses."""
    made = (4 * uniform("parts", 12, 3)).floor() / 3
    made[[1, 6], 2] = torch.nan
    return made


@pytest.mark.parametrize(
    ("combine", "theirs"),
    [
        ("normalise_then_sum", "normalize_then_sum"),
        ("sum_then_normalise", "sum_then_normalize"),
    ],
)
def test_gdpo_combines_several_rewards_as_the_trainer_does(
    combine: str, theirs: str, tmp_path: Path, agree: Agreement
) -> None:
    host = policy_trainer("GRPO", tmp_path, multi_objective_aggregation=theirs)
    host.reward_funcs, host.reward_func_names = host.reward_funcs * 3, ["a", "b", "c"]
    host.reward_weights = torch.tensor(WEIGHTS)
    algorithm = algorithms.get("gdpo", combine=combine, weights=WEIGHTS)
    rollout = hashed_rollout(EQUAL_GROUPS).with_columns(reward_parts=parts())
    agree.numbers(
        f"gdpo {combine} = TRL {theirs}",
        advantages_of(algorithm, rollout),
        advantages_by(host, parts())[:, None] * rollout.mask,
        rtol=1e-6,  # the same, where parts nearly cancel
    )


def test_lite_ppo_scales_by_the_batch_as_the_trainer_does(tmp_path: Path, agree: Agreement) -> None:
    host = policy_trainer("GRPO", tmp_path, scale_rewards="batch")
    rollout = hashed_rollout(EQUAL_GROUPS)
    agree.numbers(
        "lite_ppo = TRL scale_rewards=batch",
        advantages_of(algorithms.get("lite_ppo", eps=1e-4), rollout),
        advantages_by(host, rollout.rewards)[:, None] * rollout.mask,
        rtol=FLOAT32,
    )


def test_open_rs_has_the_cosine_reward(agree: Agreement) -> None:
    scaled = peer("trl.rewards").get_cosine_scaled_reward(max_len=5)
    algorithm: Algorithm = algorithms.get("open_rs", limit=5)
    rollout = hashed_rollout(EQUAL_GROUPS)
    answers: list[Any] = [[{"content": f"\\boxed{{{int(c)}}}"}] for c in rollout.correct]
    ids = [[0] * int(n) for n in rollout.mask.sum(dim=1)]
    found = scaled(answers, ["1"] * 12, ids)
    assert len(set(found)) > 4
    expected = torch.tensor(found, dtype=torch.float64)
    agree.numbers("open_rs = TRL cosine reward", algorithm.reward(rollout), expected)
