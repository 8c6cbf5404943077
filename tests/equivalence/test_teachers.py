"""Losses with a teacher or a reference: verl 0.9.1's, TRL 1.16.0's and ours, in float64."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import pad

from golden.batch import GROUPS, hashed_rollout, uniform
from jumar import algorithms
from jumar.aggregates import token_mean
from jumar.algorithm import Algorithm, policy_loss
from jumar.ops.logprobs import Head, divergence
from jumar.pieces import piece
from jumar.types import LossScale, TokenBatch

from .peers import Agreement, advantages_of, batch_of, ours, peer, theirs
from .test_verl import ADDS_1E_8, actor, policy_loss_of
from .trl_trainers import EQUAL_GROUPS, WARNINGS, policy_trainer
from .trl_trainers import policy_loss_of as trl_loss_of

pytestmark = [pytest.mark.slow, *(pytest.mark.filterwarnings(w) for w in WARNINGS)]

NO_CLIP = {"clip_ratio_low": 1e9, "clip_ratio_high": 1e9, "clip_ratio_c": 1e18}
VOCABULARY = 23
HEAD = Head(torch.eye(VOCABULARY).double())


@pytest.fixture
def core() -> ModuleType:
    return peer("verl.trainer.ppo.core_algos")


def distillation(tokens: TokenBatch, **settings: Any) -> Callable[[Tensor], Tensor]:
    """verl's distillation loss from sampled tokens, as a function of the policy's log-probs.

    It takes rows that begin in the prompt (here one token) and log-probs one position early.
    """
    losses, configs = peer("verl.trainer.distillation.losses"), peer("verl.workers.config")
    rows, length = tokens.mask.shape
    teacher = [row[:, None] for row in pad(tokens.teacher_logprobs, (0, 1))]
    columns = {
        "prompts": torch.ones(rows, 1).long(),
        "responses": tokens.token_ids,
        "attention_mask": torch.ones(rows, length + 1).long(),
        "response_mask": tokens.mask,
        "teacher_logprobs": torch.nested.as_nested_tensor(teacher, layout=torch.jagged),
    }
    if "rollout_logprobs" in tokens:
        columns["old_log_probs"] = tokens.rollout_logprobs
    counts = {
        "dp_size": 1,
        "batch_num_tokens": int(tokens.mask.sum()),
        "global_batch_size": rows,
    }
    data = peer("verl.utils.tensordict_utils").get_tensordict(columns, counts)
    config = configs.DistillationConfig(
        distillation_loss=configs.DistillationLossConfig(**settings)
    )

    def loss(logprobs: Tensor) -> Tensor:
        outputs = {"log_probs": pad(logprobs, (0, 1)).flatten()}
        value: Tensor = losses.distillation_loss(actor(), config, outputs, data)[0]
        return value

    return loss


# a pull towards a reference or a teacher


def test_sym_dapo_is_verls_dapo_with_a_k2_loss(core: ModuleType, agree: Agreement) -> None:
    algorithm = algorithms.get("sym_dapo", kl_coef=0.3)
    tokens = batch_of(algorithm)
    surrogate = policy_loss_of(
        core, "vanilla", tokens, "token-mean", clip_ratio_high=0.28, clip_ratio_c=10.0
    )

    def loss(logprobs: Tensor) -> Tensor:
        kl = core.kl_penalty(logprobs, tokens.ref_logprobs, "k2")
        return surrogate(logprobs) + 0.3 * core.agg_loss(kl, tokens.mask, "token-mean")

    agree(
        "sym_dapo = verl vanilla + kl_loss k2",
        ours(algorithm, tokens),
        theirs(loss, tokens.logprobs),
    )


def test_sym_dapo_with_k3_is_trls_dapo_with_beta(tmp_path: Path, agree: Agreement) -> None:
    algorithm = algorithms.get("sym_dapo", kl_coef=0.3, estimator="k3")
    tokens = batch_of(algorithm, EQUAL_GROUPS)
    host = policy_trainer(
        "GRPO", tmp_path, loss_type="dapo", epsilon=0.2, epsilon_high=0.28, delta=10.0, beta=0.3,
        use_bias_correction_kl=False,
    )  # fmt: skip
    agree(
        "sym_dapo k3 = TRL GRPOTrainer, dapo with beta",
        ours(algorithm, tokens),
        theirs(trl_loss_of(host, tokens), tokens.logprobs),
    )


def test_kdrl_is_verls_task_loss_and_its_k2_distillation(
    core: ModuleType, agree: Agreement
) -> None:
    algorithm = algorithms.get("kdrl", kl_coef=0.3, kl_coef_end=0.3)
    tokens = batch_of(algorithm)
    task = policy_loss_of(core, "vanilla", tokens, "token-mean", clip_ratio_c=1e9)
    pull = distillation(tokens, loss_mode="k2", use_policy_gradient=False, loss_max_clamp=None)
    agree(
        "kdrl = verl vanilla + 0.3 distillation k2",
        ours(algorithm, tokens),
        theirs(lambda x: task(x) + 0.3 * pull(x), tokens.logprobs),
    )


def test_verl_refuses_the_k1_loss_that_areals_joint_loss_has() -> None:
    """Its gradient does not depend on the teacher; see the last test of test_kdrl.py."""
    config = peer("verl.workers.config").DistillationLossConfig
    with pytest.raises(ValueError, match="does not depend on teacher"):
        config(loss_mode="k1", use_policy_gradient=False)


# the teacher's lead as an advantage


def test_opd_sampled_is_verls_distillation_by_policy_gradient(agree: Agreement) -> None:
    algorithm = algorithms.get("opd_sampled")
    tokens = batch_of(algorithm)
    tokens = tokens.with_columns(rollout_logprobs=tokens.logprobs.detach())
    tokens = tokens.with_columns(
        advantages=advantages_of(algorithm, hashed_rollout().with_columns(**fixed(tokens)))
    )
    loss = distillation(
        tokens, loss_mode="k1", use_policy_gradient=True, loss_max_clamp=None,
        clip_ratio=1e9, clip_ratio_low=1e9, clip_ratio_high=1e9,
    )  # fmt: skip
    agree(
        "opd_sampled = verl distillation k1, policy gradient",
        ours(algorithm, tokens),
        theirs(loss, tokens.logprobs),
    )


def fixed(tokens: TokenBatch) -> dict[str, Tensor]:
    names = ("teacher_logprobs", "rollout_logprobs")
    return {name: tokens[name] for name in names}


def test_verl_cuts_the_teachers_lead_at_ten_nats_where_ours_counts_in_full() -> None:
    default = peer("verl.workers.config").DistillationLossConfig().loss_max_clamp
    assert default == 10.0
    tokens = batch_of(algorithms.get("opd_sampled"))
    far = tokens.logprobs.detach()
    tokens = tokens.with_columns(
        rollout_logprobs=far, teacher_logprobs=far - 15, advantages=torch.full_like(far, -15.0)
    )
    mine = ours(algorithms.get("opd_sampled"), tokens)
    verls = theirs(distillation(tokens, loss_mode="k1", use_policy_gradient=True), tokens.logprobs)
    torch.testing.assert_close(verls.gradient, mine.gradient / 1.5, rtol=1e-12, atol=0)


def test_opd_sampled_has_the_gradient_of_trls_iw_opd_without_its_weights(
    agree: Agreement,
) -> None:
    """At the first update, where the ratio that TRL lacks is 1."""
    trainer = peer("trl.experimental.iw_opd").IWOPDTrainer
    algorithm = algorithms.get("opd_sampled")
    rollout = hashed_rollout()
    rows, length = rollout.mask.shape
    logits = (6 * uniform("student", rows * length, VOCABULARY)).view(rows, length, VOCABULARY)
    teacher = -4 * uniform("teacher", rows, length)

    def chosen(logits: Tensor) -> Tensor:
        return logits.log_softmax(-1).gather(-1, rollout.token_ids[..., None])[..., 0]

    columns = {"teacher_logprobs": teacher, "rollout_logprobs": chosen(logits)}
    rollout = rollout.with_columns(**columns)
    advantages = advantages_of(algorithm, rollout)
    host = SimpleNamespace(
        temperature=1.0, iw_opd_gamma=0.0, iw_opd_epsilon=1e-8,
        model=SimpleNamespace(training=False), _metrics=Metrics(),
    )  # fmt: skip

    def mine(logits: Tensor) -> Tensor:
        tokens = TokenBatch(columns=rollout.columns).with_columns(
            logprobs=chosen(logits), advantages=advantages
        )
        return policy_loss(algorithm, tokens, LossScale.of(tokens)).loss

    def trls(logits: Tensor) -> Tensor:
        labels = torch.where(rollout.mask, rollout.token_ids, -100)
        value: Tensor = trainer._compute_iw_opd_loss(
            host, logits, rollout.token_ids, labels, rollout.teacher_logprobs,
            rollout.rollout_logprobs,
        )  # fmt: skip
        return value

    agree.gradients(
        "opd_sampled = TRL IWOPDTrainer, gamma=0, first update",
        theirs(mine, logits).gradient,
        theirs(trls, logits).gradient,
    )


class Metrics(dict[str, Any]):
    """What TRL logs, for whoever asks."""

    def __missing__(self, key: str) -> Any:
        self[key] = Metrics() if key in ("train", "eval") else []
        return self[key]


@pytest.mark.parametrize("alpha", [0.0, 1.0, 5.0])
def test_mopd_is_verls_gpg_with_its_icepop_weights(
    alpha: float, core: ModuleType, agree: Agreement
) -> None:
    correction = peer("verl.trainer.ppo.rollout_corr_helper")
    algorithm = algorithms.get("mopd", alpha=alpha)
    tokens = batch_of(algorithm)
    policy, mask = tokens.logprobs.detach(), tokens.mask
    weights, _ = correction.compute_rollout_correction_weights(
        policy - tokens.rollout_logprobs, mask, rollout_is="token", rollout_is_threshold="0.2_5.0"
    )
    assert (weights[mask] == 0).any(), "a token outside the gate"
    agree.numbers(f"mopd gate = verl icepop, alpha={alpha:g}", gate(algorithm, tokens), weights)
    hybrid = tokens.teacher_logprobs - policy + alpha * tokens.advantages

    def loss(logprobs: Tensor) -> Tensor:
        value: Tensor = core.get_policy_loss_fn("gpg")(
            old_log_prob=None, log_prob=logprobs, advantages=hybrid, response_mask=mask,
            loss_agg_mode="seq-mean-token-mean", config=actor(), rollout_is_weights=weights,
        )[0]  # fmt: skip
        return value

    agree(
        f"mopd = verl gpg with icepop weights, alpha={alpha:g}",
        ours(algorithm, tokens),
        theirs(loss, tokens.logprobs),
    )


def gate(algorithm: Algorithm, tokens: TokenBatch) -> Tensor:
    weight: Tensor = algorithm.token_weight(tokens) * tokens.mask
    return weight


def test_clipped_where_verl_truncates_from_above_only(agree: Agreement) -> None:
    correction = peer("verl.trainer.ppo.rollout_corr_helper")
    algorithm = algorithms.get("mopd", mode="clip", ratio_min=0.0)
    tokens = batch_of(algorithm)
    log_ratio = tokens.logprobs.detach() - tokens.rollout_logprobs
    weights, _ = correction.compute_rollout_correction_weights(
        log_ratio, tokens.mask, rollout_is="token", rollout_is_threshold=5.0
    )
    agree.numbers("mopd clip from above = verl TIS", gate(algorithm, tokens), weights)


# the teacher's whole distribution


def full_rows(columns: list[str]) -> Any:
    rollout = hashed_rollout(columns=columns)
    return rollout.with_columns(mask=torch.ones_like(rollout.mask))


def gkd_losses(beta: float, algorithm: Algorithm, rollout: Any) -> tuple[Any, Any, Tensor]:
    """Ours and TRL's as functions of the student's logits, and these."""
    trainer = peer("trl.experimental.gkd").GKDTrainer
    rows, length = rollout.mask.shape
    student, teacher = (6 * uniform(n, rows * length, VOCABULARY) for n in ("student", "teacher"))
    (request,) = algorithm.divergences

    def mine(logits: Tensor) -> Tensor:
        column = divergence(logits, HEAD, teacher, HEAD, kind=request.kind, beta=request.beta)
        tokens = TokenBatch.build(**rollout.columns, **{request.column: column.view(rows, length)})
        return policy_loss(algorithm, tokens, LossScale.of(tokens)).loss

    def trls(logits: Tensor) -> Tensor:
        shape = (rows, length, VOCABULARY)
        value: Tensor = trainer.generalized_jsd_loss(
            logits.view(shape), teacher.view(shape), torch.where(rollout.mask, 0, -100),
            beta=beta, num_items_in_batch=rollout.mask.sum(),
        )  # fmt: skip
        return value

    return mine, trls, student


@pytest.mark.parametrize("beta", [0.0, 0.1, 0.5, 0.9, 1.0])
def test_gkd_is_trls_gkd_on_responses_of_one_length(beta: float, agree: Agreement) -> None:
    algorithm = algorithms.get("gkd", beta=beta)
    mine, trls, student = gkd_losses(beta, algorithm, full_rows(["logprobs"]))
    agree(f"gkd beta={beta:g} = TRL GKDTrainer", theirs(mine, student), theirs(trls, student))


def test_gkd_weighs_responses_alike_where_trl_weighs_tokens_alike() -> None:
    algorithm = algorithms.get("gkd")
    rollout = hashed_rollout(columns=["logprobs"])
    mine, trls, student = gkd_losses(0.5, algorithm, rollout)
    as_trl, _, _ = gkd_losses(0.5, replace(algorithm, aggregate=piece(token_mean)), rollout)
    a, b, c = (theirs(loss, student) for loss in (mine, trls, as_trl))
    torch.testing.assert_close(c.gradient, b.gradient, rtol=1e-12, atol=1e-14)
    lengths = rollout.mask.sum(dim=1, keepdim=True).double()
    heavier = (lengths / lengths.mean()).expand_as(rollout.mask)[rollout.mask]
    kept = rollout.mask.flatten()
    ratio = (b.gradient[kept] / a.gradient[kept]).median(dim=-1).values
    torch.testing.assert_close(ratio, heavier, rtol=1e-9, atol=0)
    assert heavier.max() / heavier.min() > 3


# the teacher as a judge of tokens


def test_rlsd_goes_into_verl_as_an_advantage_per_token(core: ModuleType, agree: Agreement) -> None:
    """The weight as the paper writes it: the power of a ratio of probabilities, then clipped."""
    algorithm = algorithms.get("rlsd")
    tokens = batch_of(algorithm)
    evidence = tokens.teacher_logprobs.exp() / tokens.logprobs.detach().exp()
    weight = (evidence ** tokens.advantages.sign()).clamp(0.8, 1.2)
    shaped = tokens.with_columns(advantages=tokens.advantages * (0.5 + 0.5 * weight))
    loss = policy_loss_of(
        core, "vanilla", shaped, "seq-mean-token-mean", clip_ratio_high=0.28, clip_ratio_c=1e9
    )
    agree(
        "rlsd = verl vanilla with advantages times its weight",
        ours(algorithm, tokens),
        theirs(loss, tokens.logprobs),
    )


def test_rto_is_verls_ppo_on_dense_rewards(core: ModuleType, agree: Agreement) -> None:
    algorithm = algorithms.get("rto")
    tokens = batch_of(algorithm, GROUPS)
    mask = tokens.mask
    scores = (0.05 * (tokens.teacher_logprobs - tokens.ref_logprobs)).clamp(-0.05, 0.05) * mask
    assert (scores.abs()[mask] == 0.05).any(), "a reward that is cut"
    assert (scores.abs()[mask] < 0.05).any(), "a reward that is not"
    last = (mask * torch.arange(7)).argmax(dim=1)
    scores[torch.arange(len(tokens)), last] += tokens.scores
    rewards = core.compute_rewards(scores, tokens.old_logprobs, tokens.ref_logprobs, 0.01) * mask
    agree.numbers("rto rewards = verl compute_rewards", tokens.token_rewards, rewards)
    made, returns = core.compute_gae_advantage_return(
        rewards, tokens.old_values, mask.double(), 1.0, 0.95
    )
    agree.numbers("rto returns = verl gae", tokens.returns, returns * mask)
    agree.numbers("rto advantages = verl gae", tokens.advantages, made * mask, rtol=ADDS_1E_8)
    loss = policy_loss_of(core, "vanilla", tokens, "token-mean", clip_ratio_c=1e9)
    agree.gradients(
        "rto policy = verl vanilla",
        ours(algorithm, tokens).gradient,
        theirs(loss, tokens.logprobs).gradient,
    )
