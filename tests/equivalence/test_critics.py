"""Algorithms with a critic, and relatives: verl 0.9.1 and ours on the same tensors, in float64.

Whitened advantages agree to 1e-8: verl's whitening adds that to its count of tokens. A*-PO, which
needs no critic, is compared with TRL in test_trl.py.
"""

from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from golden.batch import hashed_rollout, hashed_tokens
from jumar import algorithms
from jumar.algorithm import compute_signals, policy_loss, reduced_stats
from jumar.algorithms.dro import prompt_value
from jumar.algorithms.vapo import length_adaptive_lambda
from jumar.ops.masked import whitened
from jumar.types import LossScale, RolloutBatch, TokenBatch

from .peers import Agreement, batch_of, ours, peer, theirs

pytestmark = pytest.mark.slow

ADDS_1E_8 = 2e-8  # relative tolerance, see above


@pytest.fixture
def core() -> ModuleType:
    return peer("verl.trainer.ppo.core_algos")


def gae(core: ModuleType, rollout: RolloutBatch, gamma: float, lam: Any) -> tuple[Tensor, Tensor]:
    """verl's whitened advantages and returns; `lam` may be [B], though verl passes a number."""
    last = torch.zeros_like(rollout.old_values)
    where = (rollout.mask * torch.arange(7)).argmax(dim=1)
    last[torch.arange(len(rollout)), where] = rollout.rewards
    mask = rollout.mask.double()
    made, returns = core.compute_gae_advantage_return(last, rollout.old_values, mask, gamma, lam)
    return made * mask, returns * mask


@pytest.mark.parametrize(("lam", "critic_lam"), [(0.95, 1.0), (0.5, 0.9)])
def test_two_lambdas_are_verls_gae_called_twice(
    lam: float, critic_lam: float, core: ModuleType, agree: Agreement
) -> None:
    algorithm = algorithms.get("ppo", gamma=0.99, lam=lam, critic_lam=critic_lam)
    rollout = hashed_rollout(columns=["logprobs", "old_values"])
    signals, _ = compute_signals(algorithm, rollout, {})
    title = f"ppo lam={lam:g} critic_lam={critic_lam:g}"
    advantages, _ = gae(core, rollout, 0.99, lam)
    _, returns = gae(core, rollout, 0.99, critic_lam)
    agree.numbers(f"{title} advantages = verl gae", signals.advantages, advantages, rtol=ADDS_1E_8)
    agree.numbers(f"{title} returns = verl gae", signals.columns["returns"], returns)


@pytest.mark.parametrize("alpha", [0.05, 0.4, 2.0])
def test_vapo_is_verls_gae_with_a_lambda_for_each_response(
    alpha: float, core: ModuleType, agree: Agreement
) -> None:
    algorithm = algorithms.get("vapo", alpha=alpha)
    rollout = hashed_rollout(columns=["logprobs", "old_values"])
    signals, _ = compute_signals(algorithm, rollout, {})
    lam = length_adaptive_lambda(rollout.mask.sum(dim=1).double(), alpha=alpha)
    advantages, _ = gae(core, rollout, 1.0, lam)
    _, returns = gae(core, rollout, 1.0, 1.0)
    title = f"vapo alpha={alpha:g}"
    agree.numbers(f"{title} advantages = verl gae", signals.advantages, advantages, rtol=ADDS_1E_8)
    agree.numbers(f"{title} returns = verl gae", signals.columns["returns"], returns)


def test_the_likelihood_of_vapo_is_verls_sft_loss_on_correct_responses(agree: Agreement) -> None:
    losses = peer("verl.workers.utils.losses")
    rollout = hashed_rollout(columns=["logprobs", "old_logprobs", "old_values", "values"])

    def mine(leaf: Tensor) -> Tensor:
        value = []
        for coef in (0.1, 0.0):
            algorithm = algorithms.get("vapo", nll_coef=coef)
            tokens = hashed_tokens(algorithm, rollout).with_columns(logprobs=leaf)
            scale = LossScale.of(tokens, reduced_stats(algorithm, [tokens]))
            value.append(policy_loss(algorithm, tokens, scale).loss)
        return value[0] - value[1]

    mask = rollout.mask & rollout.correct[:, None]
    modes = peer("verl.utils.dataset.dataset_utils").DatasetPadMode
    data = peer("verl.utils.tensordict_utils").get_tensordict(
        {"response_mask": mask},
        {"dp_size": 1, "batch_num_tokens": int(mask.sum()), "pad_mode": modes.RIGHT},
    )

    def verls(leaf: Tensor) -> Tensor:
        value: Tensor = 0.1 * losses.sft_loss(None, {"log_probs": leaf}, data)[0]
        return value

    agree(
        "vapo's likelihood = verl sft_loss on correct responses",
        theirs(mine, rollout.logprobs),
        theirs(verls, rollout.logprobs),
        rtol=1e-10,  # a difference of two losses
    )


def test_the_students_whitening_is_verls_masked_whiten(agree: Agreement) -> None:
    masked_whiten = peer("verl.utils.torch_functional").masked_whiten
    rollout = hashed_rollout(columns=["logprobs", "signal"])
    agree.numbers(
        "erpd_student signal = verl masked_whiten",
        whitened(rollout.signal, rollout.mask),
        masked_whiten(rollout.signal, rollout.mask) * rollout.mask,
        rtol=1e-7,
    )


@pytest.mark.parametrize("positives", ["all", "below", "above"])
def test_erpds_student_is_verls_clipped_loss_with_the_signal_for_an_advantage(
    positives: str, core: ModuleType, agree: Agreement
) -> None:
    algorithm = algorithms.get("erpd_student", positives=positives)
    tokens = batch_of(algorithm)
    config = peer("verl.workers.config").FSDPActorConfig(
        strategy="fsdp", rollout_n=4, ppo_micro_batch_size_per_gpu=4, clip_ratio_high=0.28,
        clip_ratio_c=1e9,
    )  # fmt: skip

    def verls(logprobs: Tensor) -> Tensor:
        value: Tensor = core.get_policy_loss_fn("vanilla")(
            old_log_prob=tokens.old_logprobs, log_prob=logprobs, advantages=tokens.advantages,
            response_mask=tokens.mask, loss_agg_mode="token-mean", config=config,
        )[0]  # fmt: skip
        return value

    agree(
        f"erpd_student positives={positives} = verl vanilla",
        ours(algorithm, tokens),
        theirs(verls, tokens.logprobs),
    )


# what verl calls DRO


def dro_of(core: ModuleType, tokens: TokenBatch, tau: float) -> Tensor:
    """The gradient of verl's `dro` with r - V for an advantage and the reference for its anchor."""
    config = SimpleNamespace(policy_loss=SimpleNamespace(dro_beta=tau), global_batch_info={})
    advantage = (tokens.rewards - prompt_value(tokens)).detach()[:, None].expand_as(tokens.mask)

    def loss(logprobs: Tensor) -> Tensor:
        value: Tensor = core.get_policy_loss_fn("dro")(
            old_log_prob=tokens.ref_logprobs, log_prob=logprobs, advantages=advantage,
            response_mask=tokens.mask, loss_agg_mode="seq-mean-token-sum", config=config,
        )[0]  # fmt: skip
        return value

    return theirs(loss, tokens.logprobs).gradient


def test_verls_dro_has_our_gradient_for_responses_of_one_token(
    core: ModuleType, agree: Agreement
) -> None:
    algorithm = algorithms.get("dro", tau=0.3)
    one = torch.zeros(14, 7, dtype=torch.bool)
    one[:, 0] = True
    tokens = batch_of(algorithm, mask=one)
    agree.gradients(
        "dro = verl dro, one token", ours(algorithm, tokens).gradient, dro_of(core, tokens, 0.3)
    )


def test_verls_dro_regularises_each_token_alone_where_ours_takes_the_whole_response(
    core: ModuleType,
) -> None:
    tau = 0.3
    algorithm = algorithms.get("dro", tau=tau)
    tokens = batch_of(algorithm)
    mine, verls = ours(algorithm, tokens).gradient, dro_of(core, tokens, tau)
    rows = tokens.mask.any(dim=1).sum()
    own = (tokens.logprobs - tokens.ref_logprobs).detach() * tokens.mask
    whole = own.sum(dim=1, keepdim=True) * tokens.mask
    torch.testing.assert_close(mine - verls, tau * (whole - own) / rows, rtol=0, atol=1e-14)
    assert (mine - verls).abs().max() > 0.01
