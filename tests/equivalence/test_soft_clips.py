"""Soft, moving and gradient-preserving clips: TRL 1.16.0, verl 0.9.1 and ours, in float64.

TRL has SAPO and VESPO, verl has SAPO. Of the others verl has the parts: its clipped losses, at the
bounds that ours chose or for one sign of the advantage at a time, and its truncated ratio.
"""

from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import Tensor

from jumar import algorithms
from jumar.algorithm import Algorithm, policy_loss, reduced_stats
from jumar.surrogates.gradient_preserving import gradient_preserving_surrogate
from jumar.types import LossScale, TokenBatch

from .peers import Agreement, Compared, batch_of, ours, peer, theirs
from .test_disagreements import by_trl, one_token
from .test_verl import policy_loss_of
from .trl_trainers import EQUAL_GROUPS, WARNINGS, policy_trainer
from .trl_trainers import policy_loss_of as trl_loss_of

pytestmark = [pytest.mark.slow, *(pytest.mark.filterwarnings(w) for w in WARNINGS)]


@pytest.fixture
def core() -> ModuleType:
    return peer("verl.trainer.ppo.core_algos")


def in_trl(folder: Path, tokens: TokenBatch, **settings: object) -> Compared:
    host = policy_trainer("GRPO", folder, **settings)
    return theirs(trl_loss_of(host, tokens), tokens.logprobs)


# SAPO


@pytest.mark.parametrize("taus", [(1.0, 1.05), (0.5, 3.0)])
def test_sapo_is_verls(taus: tuple[float, float], core: ModuleType, agree: Agreement) -> None:
    algorithm = algorithms.get("sapo", tau_pos=taus[0], tau_neg=taus[1])
    tokens = batch_of(algorithm)
    loss = policy_loss_of(
        core, "sapo", tokens, "seq-mean-token-mean", tau_pos=taus[0], tau_neg=taus[1]
    )
    agree(f"sapo {taus} = verl sapo", ours(algorithm, tokens), theirs(loss, tokens.logprobs))


def test_verls_sapo_takes_the_mean_per_response_whatever_it_is_told(core: ModuleType) -> None:
    tokens = batch_of(algorithms.get("sapo"))
    modes = ("token-mean", "seq-mean-token-mean")
    one, other = (
        theirs(policy_loss_of(core, "sapo", tokens, mode), tokens.logprobs) for mode in modes
    )
    assert torch.equal(one.gradient, other.gradient)


def test_sapo_is_trls_at_temperatures_that_float32_holds(tmp_path: Path, agree: Agreement) -> None:
    algorithm = algorithms.get("sapo", tau_pos=1.0, tau_neg=1.25)
    tokens = batch_of(algorithm, EQUAL_GROUPS)
    settings = {"loss_type": "sapo", "sapo_temperature_pos": 1.0, "sapo_temperature_neg": 1.25}
    agree("sapo = TRL GRPOTrainer", ours(algorithm, tokens), in_trl(tmp_path, tokens, **settings))


def test_trl_rounds_the_temperature_of_1_05_to_float32(tmp_path: Path) -> None:
    algorithm = algorithms.get("sapo")
    tokens = batch_of(algorithm, EQUAL_GROUPS)
    mine, trls = ours(algorithm, tokens), in_trl(tmp_path, tokens, loss_type="sapo")
    away = (mine.gradient / trls.gradient - 1).abs()[mine.gradient != 0].max()
    assert 1e-9 < away < 1e-6
    rounded = algorithms.get("sapo", tau_neg=torch.tensor(1.05).item())
    torch.testing.assert_close(ours(rounded, tokens).gradient, trls.gradient, rtol=1e-12, atol=0)


# VESPO


def vespo_tokens() -> TokenBatch:
    """Responses whose products W are within e^+-2, so that most weights are far from 0."""
    tokens = batch_of(algorithms.get("vespo"), EQUAL_GROUPS)
    drift = (tokens.old_logprobs - tokens.logprobs).detach().clamp(-0.3, 0.3)
    return tokens.with_columns(old_logprobs=tokens.logprobs.detach() + drift)


@pytest.mark.parametrize("numbers", [(2.0, 3.0, 3.0, 2.0), (1.0, 0.5, 2.5, 4.0)])
def test_vespo_is_trls(
    numbers: tuple[float, float, float, float], tmp_path: Path, agree: Agreement
) -> None:
    names = ("k_pos", "lam_pos", "k_neg", "lam_neg")
    algorithm = algorithms.get("vespo", **dict(zip(names, numbers, strict=True)))
    trls = [f"vespo_{n.replace('lam', 'lambda')}" for n in names]
    settings = {"loss_type": "vespo", **dict(zip(trls, numbers, strict=True))}
    for label, tokens in (
        ("near", vespo_tokens()),
        ("far", batch_of(algorithm, EQUAL_GROUPS)),
    ):
        agree(
            f"vespo {numbers}, {label} = TRL GRPOTrainer",
            ours(algorithm, tokens),
            in_trl(tmp_path, tokens, **settings),
        )


def test_the_weight_of_vespo_is_trls_gamma_weight(agree: Agreement) -> None:
    trainer = peer("trl").GRPOTrainer
    tokens = vespo_tokens()
    log_ratio = (tokens.logprobs - tokens.old_logprobs).detach()
    expected = trainer.get_gamma_weights(tokens.advantages, log_ratio, tokens.mask, None)
    mine = algorithms.get("vespo").token_weight(tokens)
    assert (mine > 0.1).any()
    agree.numbers("vespo weight = TRL get_gamma_weights", mine, expected)


def test_below_1e_8_trl_holds_the_weight_of_vespo_where_ours_goes_on_falling(
    tmp_path: Path,
) -> None:
    """Both are nothing: 2e-15 and less."""
    tokens = one_token("vespo", log_ratio=-19.5, advantage=1.0)
    mine = ours(algorithms.get("vespo"), tokens).gradient
    trls = by_trl(tmp_path, tokens, loss_type="vespo").gradient
    assert (-trls).log().item() == pytest.approx(3 + 2 * torch.tensor(1e-8).log().item(), rel=1e-5)
    assert (-mine).log().item() == pytest.approx(3 - 2 * 19.5)


# DISPO, GPPO, BAPO, RAFT++: verl's clipped losses, put together


def of_sign(tokens: TokenBatch, sign: int) -> TokenBatch:
    """The advantages of one sign; the others are 0."""
    return tokens.with_columns(advantages=(sign * tokens.advantages).clamp(min=0) * sign)


def test_dispo_is_verls_cispo_for_each_sign_of_the_advantage(
    core: ModuleType, agree: Agreement
) -> None:
    algorithm = algorithms.get("dispo", ratio_max_right=2.0, ratio_max_wrong=9.0)
    tokens = batch_of(algorithm)
    right = policy_loss_of(
        core, "cispo", of_sign(tokens, 1), "token-mean", clip_ratio_low=0.2, clip_ratio_high=1.0
    )
    wrong = policy_loss_of(
        core, "cispo", of_sign(tokens, -1), "token-mean", clip_ratio_low=1.0, clip_ratio_high=8.0
    )
    agree(
        "dispo = verl cispo for A > 0 + for A < 0",
        ours(algorithm, tokens),
        theirs(lambda x: right(x) + wrong(x), tokens.logprobs),
    )


def test_gppo_has_the_value_of_verls_clip_and_its_gradient_wherever_that_is_not_0(
    core: ModuleType, agree: Agreement
) -> None:
    algorithm = algorithms.get("gppo", dual_clip=None)
    tokens = batch_of(algorithm)
    loss = policy_loss_of(
        core, "vanilla", tokens, "token-mean", clip_ratio_high=0.28, clip_ratio_c=1e9
    )
    mine, verls = ours(algorithm, tokens), theirs(loss, tokens.logprobs)
    agree.numbers("gppo value = verl vanilla", mine.loss, verls.loss)
    silent = verls.gradient == 0
    agree.gradients("gppo, unclipped = verl vanilla", mine.gradient * ~silent, verls.gradient)
    clipped = silent & tokens.mask & (tokens.advantages != 0)
    assert clipped.any()
    assert mine.gradient[clipped].all()


def test_under_gppos_dual_clip_a_bad_token_that_exploded_is_silent_as_verls_is(
    core: ModuleType,
) -> None:
    tokens = one_token("gppo", log_ratio=3.0, advantage=-1.0)
    loss = policy_loss_of(
        core, "vanilla", tokens, "token-mean", clip_ratio_high=0.28, clip_ratio_c=10.0
    )
    mine, verls = ours(algorithms.get("gppo"), tokens), theirs(loss, tokens.logprobs)
    assert mine.loss.item() == verls.loss.item() == 10
    assert mine.gradient.item() == verls.gradient.item() == 0


def test_gppos_gradient_is_that_of_the_one_line_of_its_authors(agree: Agreement) -> None:
    """clamp(r, (1 - low) r / sg(r), (1 + high) r / sg(r)) inside PPO's maximum, in their README."""
    tokens = batch_of(algorithms.get("gppo"))
    a, old = tokens.advantages, tokens.old_logprobs

    def published(logprobs: Tensor) -> Tensor:
        r = (logprobs - old).exp()
        one = r / r.detach()
        clamped = torch.minimum(torch.maximum(r, 0.8 * one), 1.28 * one)
        return (torch.maximum(-a * r, -a * clamped) * tokens.mask).sum()

    def mine(logprobs: Tensor) -> Tensor:
        rows = tokens.with_columns(logprobs=logprobs)
        losses = gradient_preserving_surrogate(
            rows, clip_low=0.2, clip_high=0.28, beta_low=1.0, beta_high=1.0, dual_clip=None
        )
        return losses.sum()

    agree(
        "gppo = its authors' line",
        theirs(mine, tokens.logprobs),
        theirs(published, tokens.logprobs),
    )


def with_stats(algorithm: Algorithm, tokens: TokenBatch) -> Compared:
    """What the algorithm gives where it reads statistics of the step."""
    scale = LossScale.of(tokens, reduced_stats(algorithm, [tokens]))
    loss = policy_loss(algorithm, tokens, scale).loss
    (gradient,) = torch.autograd.grad(loss, tokens.logprobs)
    return Compared(loss.detach(), gradient)


@pytest.mark.parametrize("share", [0.4, 0.66, 0.9])
def test_bapo_is_verls_clip_at_the_bounds_of_the_step(
    share: float, core: ModuleType, agree: Agreement
) -> None:
    algorithm = algorithms.get("bapo", share=share)
    tokens = batch_of(algorithm)
    search = dict(algorithm.surrogate.settings)["search"]
    low, high = map(float, search.bounds(reduced_stats(algorithm, [tokens])))
    loss = policy_loss_of(
        core, "vanilla", tokens, "token-mean",
        clip_ratio_low=1 - low, clip_ratio_high=high - 1, clip_ratio_c=1e9,
    )  # fmt: skip
    agree(
        f"bapo share={share:g}, [{low:.3g}, {high:.3g}] = verl vanilla",
        with_stats(algorithm, tokens),
        theirs(loss, tokens.logprobs),
    )


def test_raft_pp_is_verls_clip_on_right_responses_with_an_advantage_of_1(
    core: ModuleType, agree: Agreement
) -> None:
    algorithm = algorithms.get("raft_pp")
    every = batch_of(algorithm)
    kept = every.select(every.correct)
    tokens = kept.with_columns(logprobs=kept.logprobs.detach().requires_grad_())
    assert 0 < len(tokens) < len(every)
    ones = tokens.with_columns(advantages=torch.ones_like(tokens.advantages))
    loss = policy_loss_of(core, "vanilla", ones, "seq-mean-token-mean")
    agree("raft_pp = verl vanilla, A = 1", ours(algorithm, tokens), theirs(loss, tokens.logprobs))


# TOPR


@pytest.mark.parametrize("level", ["response", "token"])
def test_toprs_weight_of_wrong_responses_is_verls_truncated_ratio_at_1(
    level: str, agree: Agreement
) -> None:
    helper = peer("verl.trainer.ppo.rollout_corr_helper")
    algorithm = algorithms.get("topr", level=level)
    tokens = batch_of(algorithm)
    truncated, _ = helper.compute_rollout_correction_weights(
        (tokens.logprobs - tokens.rollout_logprobs).detach(), tokens.mask,
        rollout_is={"response": "sequence", "token": "token"}[level], rollout_is_threshold=1.0,
    )  # fmt: skip
    wrong, right = tokens.advantages < 0, tokens.mask & (tokens.advantages >= 0)
    mine = algorithm.token_weight(tokens)
    agree.numbers(f"topr weight, {level} = verl rollout_is, wrong", mine * wrong, truncated * wrong)
    assert (mine[right] == 1).all()
    assert (truncated[right] < 1).any()  # verl corrects right responses too


def test_topr_is_verls_policy_gradient_with_advantages_times_its_weight(
    core: ModuleType, agree: Agreement
) -> None:
    algorithm = algorithms.get("topr")
    tokens = batch_of(algorithm)
    weighted = tokens.with_columns(advantages=algorithm.token_weight(tokens) * tokens.advantages)
    loss = policy_loss_of(core, "gpg", weighted, "seq-mean-token-sum")
    agree("topr = verl gpg, weighted", ours(algorithm, tokens), theirs(loss, tokens.logprobs))
