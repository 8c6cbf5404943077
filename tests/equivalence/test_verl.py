"""verl 0.9.1: the functions of its core_algos and ours on the same tensors, in float64.

It whitens with a mean that adds 1e-8 to its count: whitened advantages agree to that, no further.
"""

from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

from golden.batch import hashed_rollout, hashed_tokens, uniform
from jumar import algorithms
from jumar.aggregates import fixed_length_mean, response_mean, response_sum, token_mean
from jumar.algorithms.ppo import clipped_value_loss
from jumar.ops.divergence import kl_estimate
from jumar.pieces import piece
from jumar.types import LossScale, TokenBatch

from .peers import Agreement, advantages_of, batch_of, ours, peer, theirs

pytestmark = pytest.mark.slow

ADDS_1E_8 = 2e-8  # relative tolerance, see above
SEVERAL = (4, 4, 3, 2)  # no group of one: there we disagree on purpose


@pytest.fixture
def core() -> ModuleType:
    return peer("verl.trainer.ppo.core_algos")


def actor(**settings: Any) -> Any:
    config = peer("verl.workers.config").FSDPActorConfig
    return config(strategy="fsdp", rollout_n=4, ppo_micro_batch_size_per_gpu=4, **settings)


def policy_loss_of(
    core: ModuleType, name: str, tokens: TokenBatch, mode: str, **settings: Any
) -> Callable[[Tensor], Tensor]:
    """A registered policy loss of verl as a function of the log-probs, called as verl calls it."""
    config = actor(**settings)
    old = tokens.old_logprobs if "old_logprobs" in tokens else tokens.logprobs.detach()

    def loss(logprobs: Tensor) -> Tensor:
        value: Tensor = core.get_policy_loss_fn(name)(
            old_log_prob=old, log_prob=logprobs, advantages=tokens.advantages,
            response_mask=tokens.mask, loss_agg_mode=mode, config=config,
        )[0]  # fmt: skip
        return value

    return loss


def reinforce_family(name: str) -> dict[str, Any]:
    return {"algorithm": algorithms.get(name), "loss": "gpg", "mode": "seq-mean-token-sum"}


POLICY_CASES: dict[str, dict[str, Any]] = {
    "reinforce": reinforce_family("reinforce"),
    "rloo": reinforce_family("rloo"),
    "grpo without kl": {
        "algorithm": algorithms.get("grpo", kl_coef=0.0), "loss": "vanilla",
        "mode": "seq-mean-token-mean", "clip_ratio_c": 1e9,
    },
    "dr_grpo": {
        "algorithm": algorithms.get("dr_grpo", length=7), "loss": "vanilla",
        "mode": "seq-mean-token-sum-norm", "clip_ratio_c": 1e9,
    },
    "dapo": {
        "algorithm": algorithms.get("dapo"), "loss": "vanilla", "mode": "token-mean",
        "clip_ratio_high": 0.28, "clip_ratio_c": 10.0,
    },
    "gspo": {
        "algorithm": algorithms.get("gspo"), "loss": "gspo", "mode": "seq-mean-token-mean",
        "clip_ratio_low": 3e-4, "clip_ratio_high": 4e-4,
    },
    "gspo wide": {
        "algorithm": algorithms.get("gspo", clip_low=0.2, clip_high=0.28), "loss": "gspo",
        "mode": "seq-mean-token-mean", "clip_ratio_high": 0.28,
    },
    "cispo": {
        "algorithm": algorithms.get("cispo"), "loss": "cispo", "mode": "token-mean",
        "clip_ratio_low": 1.0, "clip_ratio_high": 4.0,
    },
}  # fmt: skip


@pytest.mark.parametrize("case", POLICY_CASES)
def test_loss_and_gradient_are_those_of_the_policy_loss(
    case: str, core: ModuleType, agree: Agreement
) -> None:
    settings = dict(POLICY_CASES[case])
    algorithm, name, mode = (settings.pop(key) for key in ("algorithm", "loss", "mode"))
    tokens = batch_of(algorithm)
    agree(
        f"{case} = verl {name}, {mode}",
        ours(algorithm, tokens),
        theirs(policy_loss_of(core, name, tokens, mode, **settings), tokens.logprobs),
    )


def test_grpo_with_its_penalty_is_verls_loss_with_kl_loss_k3(
    core: ModuleType, agree: Agreement
) -> None:
    algorithm = algorithms.get("grpo")
    tokens = batch_of(algorithm)
    mode = "seq-mean-token-mean"
    surrogate = policy_loss_of(core, "vanilla", tokens, mode, clip_ratio_c=1e9)

    def loss(logprobs: Tensor) -> Tensor:
        kl = core.kl_penalty(logprobs, tokens.ref_logprobs, "k3")
        return surrogate(logprobs) + 0.04 * core.agg_loss(kl, tokens.mask, mode)

    # verl stops at k3 = 10, which is u = -2.6: those tokens are in the next module
    tokens = tokens.with_columns(
        ref_logprobs=tokens.logprobs.detach()
        + (tokens.ref_logprobs - tokens.logprobs).detach().clamp(-2, 2)
    )
    agree(
        "grpo = verl vanilla + 0.04 kl_loss k3",
        ours(algorithm, tokens),
        theirs(loss, tokens.logprobs),
    )


def test_the_weight_of_owpo_goes_into_verl_as_an_advantage_per_token(
    core: ModuleType, agree: Agreement
) -> None:
    algorithm = algorithms.get("owpo")
    tokens = batch_of(algorithm)
    weighted = tokens.with_columns(advantages=algorithm.token_weight(tokens) * tokens.advantages)
    loss = policy_loss_of(
        core, "vanilla", weighted, "token-mean", clip_ratio_high=0.28, clip_ratio_c=10.0
    )
    agree(
        "owpo = verl vanilla with advantages times our weight",
        ours(algorithm, tokens),
        theirs(loss, tokens.logprobs),
    )


ADVANTAGE_CASES = {
    "grpo": ("grpo", {}),
    "dr_grpo": ("grpo", {"norm_adv_by_std_in_grpo": False}),
    "rloo": ("rloo", {}),
}


@pytest.mark.parametrize("name", ADVANTAGE_CASES)
def test_advantages_are_those_of_the_estimator(
    name: str, core: ModuleType, agree: Agreement
) -> None:
    estimator, settings = ADVANTAGE_CASES[name]
    algorithm = algorithms.get(name)
    rollout = hashed_rollout(SEVERAL, sorted({"logprobs", *algorithm.reads}))
    made, _ = core.get_adv_estimator_fn(estimator)(
        token_level_rewards=rollout.rewards[:, None].clone(),
        response_mask=rollout.mask,
        index=rollout.group_ids.numpy(),
        **settings,
    )
    agree.numbers(f"{name} advantages = verl {estimator}", advantages_of(algorithm, rollout), made)


@pytest.mark.parametrize(("gamma", "lam"), [(1.0, 1.0), (0.99, 0.95)])
def test_ppo_has_verls_rewards_advantages_returns_and_losses(
    gamma: float, lam: float, core: ModuleType, agree: Agreement
) -> None:
    algorithm = algorithms.get("ppo", gamma=gamma, lam=lam, kl_coef=0.05)
    tokens = batch_of(algorithm)
    mask, title = tokens.mask, f"ppo gamma={gamma:g} lam={lam:g}"
    last = torch.zeros_like(tokens.old_values)
    last[torch.arange(len(tokens)), (mask * torch.arange(7)).argmax(dim=1)] = tokens.scores
    rewards = core.compute_rewards(last, tokens.old_logprobs, tokens.ref_logprobs, 0.05) * mask
    agree.numbers(f"{title} rewards = verl compute_rewards", tokens.token_rewards, rewards)
    made, returns = core.compute_gae_advantage_return(
        rewards, tokens.old_values, mask.double(), gamma, lam
    )
    agree.numbers(f"{title} returns = verl gae", tokens.returns, returns * mask)
    agree.numbers(f"{title} advantages = verl gae", tokens.advantages, made * mask, rtol=ADDS_1E_8)
    surrogate = policy_loss_of(core, "vanilla", tokens, "token-mean", clip_ratio_c=1e9)
    value = partial(
        core.compute_value_loss, returns=tokens.returns, values=tokens.old_values,
        response_mask=mask, cliprange_value=0.2,
    )  # fmt: skip
    policy, critic = (
        theirs(surrogate, tokens.logprobs),
        theirs(lambda v: value(v)[0], tokens["values"]),
    )
    mine = ours(algorithm, tokens)
    agree.numbers(f"{title} loss = verl vanilla + value loss", mine.loss, policy.loss + critic.loss)
    agree.gradients(f"{title} policy = verl vanilla", mine.gradient, policy.gradient)
    of_values = ours(algorithm, tokens, "values").gradient
    agree.gradients(f"{title} value = verl value loss", of_values, critic.gradient)


def test_the_value_loss_is_verls_at_either_clip(core: ModuleType, agree: Agreement) -> None:
    tokens = batch_of(algorithms.get("ppo"))
    for clip in (0.2, 0.5):

        def mine(values: Tensor, clip: float = clip) -> Tensor:
            rows = tokens.with_columns(values=values)
            return token_mean(
                clipped_value_loss(rows, clip=clip, coef=0.5), rows, LossScale.of(rows)
            )

        def verls(values: Tensor, clip: float = clip) -> Tensor:
            value: Tensor = core.compute_value_loss(
                values, tokens.returns, tokens.old_values, tokens.mask, clip
            )[0]
            return value

        values = 2 * tokens["values"].detach()
        agree(f"value loss clip={clip:g} = verl", theirs(mine, values), theirs(verls, values))


def test_sft_is_verls_sft_loss(agree: Agreement) -> None:
    losses = peer("verl.workers.utils.losses")
    algorithm = algorithms.get("sft")
    tokens = batch_of(algorithm)
    modes = peer("verl.utils.dataset.dataset_utils").DatasetPadMode
    data = peer("verl.utils.tensordict_utils").get_tensordict(
        {"response_mask": tokens.mask},
        {"dp_size": 1, "batch_num_tokens": int(tokens.mask.sum()), "pad_mode": modes.RIGHT},
    )
    agree(
        "sft = verl sft_loss",
        ours(algorithm, tokens),
        theirs(lambda x: losses.sft_loss(None, {"log_probs": x}, data)[0], tokens.logprobs),
    )


@pytest.mark.parametrize("kind", ["k1", "k2", "k3"])
def test_kl_estimates_are_verls(kind: str, core: ModuleType, agree: Agreement) -> None:
    policy, other = (-2 * uniform(name, 5, 7) for name in ("policy", "other"))
    agree(
        f"{kind} = verl kl_penalty",
        theirs(lambda x: kl_estimate(x, other, kind=kind).sum(), policy),
        theirs(lambda x: core.kl_penalty(x, other, kind).sum(), policy),
    )


AGGREGATES = {
    "token-mean": piece(token_mean),
    "seq-mean-token-sum": piece(response_sum),
    "seq-mean-token-sum-norm": piece(fixed_length_mean, length=7),
    "seq-mean-token-mean": piece(response_mean),
}


@pytest.mark.parametrize("mode", AGGREGATES)
def test_aggregates_are_those_of_agg_loss(mode: str, core: ModuleType, agree: Agreement) -> None:
    """With a response that has no token: neither counts it."""
    aggregate = AGGREGATES[mode]
    rollout = hashed_rollout(columns=["logprobs"])
    mask = rollout.mask.clone()
    mask[2] = False
    tokens = TokenBatch.build(**{**rollout.columns, "mask": mask})
    loss = 2 * uniform("loss", *mask.shape) - 1
    agree(
        f"{aggregate.fn.__name__} = verl agg_loss {mode}",
        theirs(lambda x: aggregate(x, tokens, LossScale.of(tokens)), loss),
        theirs(lambda x: core.agg_loss(x, mask, mode), loss),
    )


@pytest.mark.parametrize("mode", AGGREGATES)
def test_micro_batches_add_up_as_verls_do_with_its_global_counts(
    mode: str, core: ModuleType, agree: Agreement
) -> None:
    aggregate = AGGREGATES[mode]
    tokens = hashed_tokens(algorithms.get("sft"), hashed_rollout(columns=["logprobs"]))
    scale, rows = LossScale.of(tokens), torch.arange(len(tokens))
    counts = {
        "batch_num_tokens": int(scale.tokens), "global_batch_size": int(scale.responses),
        "loss_scale_factor": 7,
    }  # fmt: skip
    loss = 2 * uniform("loss", *tokens.mask.shape) - 1

    def mine(x: Tensor) -> Tensor:
        parts = (aggregate(x[part], tokens.select(part), scale) for part in rows.split(3))
        return torch.stack(list(parts)).sum()

    def verls(x: Tensor) -> Tensor:
        parts = (core.agg_loss(x[p], tokens.mask[p], mode, **counts) for p in rows.split(5))
        return torch.stack(list(parts)).sum()

    name = aggregate.fn.__name__
    agree(f"{name}, in parts = verl {mode}, in parts", theirs(mine, loss), theirs(verls, loss))
