"""Where implementations disagree: what we chose, and how far the others are from it.

The cards say which side we take; here each side is run, so that neither can move unnoticed.
"""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from golden.batch import PAIRS, hashed_rollout, uniform
from jumar import algorithms
from jumar.aggregates import token_mean
from jumar.ops.divergence import kl_estimate
from jumar.ops.group import group_std
from jumar.ops.masked import response_sum
from jumar.pieces import piece
from jumar.programs.a_star_po import optimal_value
from jumar.types import TokenBatch

from .peers import Compared, advantages_of, batch_of, ours, peer, theirs
from .test_trl import a2po_trainer
from .test_verl import actor, policy_loss_of
from .trl_trainers import EQUAL_GROUPS, WARNINGS, advantages_by, policy_trainer
from .trl_trainers import policy_loss_of as trl_loss_of

pytestmark = [pytest.mark.slow, *(pytest.mark.filterwarnings(w) for w in WARNINGS)]


def core() -> Any:
    return peer("verl.trainer.ppo.core_algos")


def one_token(name: str, *, log_ratio: float, advantage: float, **settings: Any) -> TokenBatch:
    """A single response of one token that has moved by `log_ratio` nats, with this advantage."""
    algorithm = algorithms.get(name, **settings)
    one = torch.ones(1, 1, dtype=torch.float64)
    rollout = hashed_rollout((1,), ["logprobs", *algorithm.reads])
    columns = {name: c[:, :1] if c.dim() == 2 else c for name, c in rollout.columns.items()}
    columns |= {"mask": one.bool(), "logprobs": (-3 * one).requires_grad_()}
    old = -3 * one - log_ratio
    return TokenBatch.build(**{**columns, "old_logprobs": old, "advantages": advantage * one})


def by_verl(name: str, tokens: TokenBatch, **settings: Any) -> Compared:
    return theirs(policy_loss_of(core(), name, tokens, "token-mean", **settings), tokens.logprobs)


def by_trl(folder: Path, tokens: TokenBatch, **settings: Any) -> Compared:
    host = policy_trainer("GRPO", folder, **settings)
    return theirs(trl_loss_of(host, tokens), tokens.logprobs)


# the advantage


def test_trl_adds_1e_4_to_the_std_where_we_add_1e_6(tmp_path: Path) -> None:
    algorithm = algorithms.get("grpo", kl_coef=0.0)
    rollout = hashed_rollout(EQUAL_GROUPS, ["logprobs", "old_logprobs"])
    mine = advantages_of(algorithm, rollout)[:, 0]
    trls = advantages_by(policy_trainer("GRPO", tmp_path), rollout.rewards)
    std = group_std(rollout.rewards, rollout.group_ids)
    spread = std > 0
    torch.testing.assert_close(
        (trls / mine)[spread], ((std + 1e-6) / (std + 1e-4))[spread], rtol=1e-7, atol=0
    )
    # a fraction of a thousandth for verdicts of 0 and 1, but half for a spread of 1e-4
    assert 1e-4 < (1 - trls / mine)[spread].max() < 1e-3


def test_a_group_of_one_has_no_advantage_where_verl_gives_it_its_raw_reward(
    tmp_path: Path,
) -> None:
    rollout = hashed_rollout((1, 1, 1), ["logprobs", "old_logprobs"])
    rollout = rollout.with_columns(rewards=torch.tensor([0.25, 0.5, 1.0]).double())
    for name in ("grpo", "rloo"):
        algorithm = algorithms.get(name, **({"kl_coef": 0.0} if name == "grpo" else {}))
        assert not advantages_of(algorithm, rollout).any()
        by_verl, _ = core().get_adv_estimator_fn(name)(
            token_level_rewards=rollout.rewards[:, None].clone(),
            response_mask=rollout.mask,
            index=rollout.group_ids.numpy(),
        )
        torch.testing.assert_close(by_verl[:, 0], rollout.rewards, rtol=2e-6, atol=0)
        host = policy_trainer(name.upper(), tmp_path / name, num_generations_eval=1)
        host.model.eval()  # TRL trains on groups of two or more
        assert not advantages_by(host, rollout.rewards).any()  # and sides with us elsewhere


def test_overlong_responses_lose_at_most_the_coefficient_where_verl_has_no_floor() -> None:
    manager = peer("verl.workers.reward_manager.dapo").DAPORewardManager
    tokenizer = SimpleNamespace(decode=lambda ids, **_: "answer", eos_token="<eos>")
    lengths, limit, cache = [2, 3, 4, 5, 7], 4, 2
    buffer = SimpleNamespace(enable=True, len=cache, penalty_factor=1.0, log=False)
    score = manager(tokenizer, 0, lambda **_: 0.0, max_resp_len=limit, overlong_buffer_cfg=buffer)
    ones = torch.ones(len(lengths), 7, dtype=torch.long)
    mask = torch.arange(7) < torch.tensor(lengths)[:, None]
    data = peer("verl").DataProto.from_dict(
        tensors={
            "prompts": ones[:, :1], "responses": ones,
            "attention_mask": torch.cat([ones[:, :1], mask.long()], dim=1),
        },
        non_tensors={
            "reward_model": [{"ground_truth": ""}] * len(lengths),
            "data_source": ["x"] * len(lengths),
        },
    )  # fmt: skip
    algorithm = algorithms.get(
        "dapo", overlong_limit=limit, overlong_cache=cache, overlong_coef=1.0
    )
    rollout = hashed_rollout((len(lengths),)).with_columns(
        mask=mask, rewards=torch.zeros(len(lengths)).double()
    )
    assert algorithm.reward(rollout).tolist() == [0, -0.5, -1, -1, -1]
    assert score(data).sum(dim=1).tolist() == [0, -0.5, -1, -1.5, -2.5]


# the surrogate


def test_verl_clips_losses_at_three_times_the_advantage_unless_told_not_to() -> None:
    assert actor().clip_ratio_c == 3.0
    tokens = one_token("grpo", log_ratio=2.0, advantage=-1.0, kl_coef=0.0)
    mine, verls = ours(algorithms.get("grpo", kl_coef=0.0), tokens), by_verl("vanilla", tokens)
    assert mine.loss.item() == pytest.approx(torch.tensor(2.0).exp().item())  # 7.4: no dual clip
    assert verls.loss.item() == pytest.approx(3.0)
    assert mine.gradient.item() == pytest.approx(mine.loss.item())
    assert verls.gradient.item() == 0


def test_verls_default_bounds_make_another_method_of_cispo() -> None:
    tokens = one_token("cispo", log_ratio=torch.tensor(3.0).log().item(), advantage=1.0)
    mine, verls = ours(algorithms.get("cispo"), tokens), by_verl("cispo", tokens)
    assert mine.gradient.item() == pytest.approx(-3.0)  # ours and TRL's bounds: 0 and 5
    assert verls.gradient.item() == pytest.approx(-1.2)  # verl's: 1 - 0.2 and 1 + 0.2
    trailing = one_token("cispo", log_ratio=torch.tensor(0.1).log().item(), advantage=1.0)
    assert ours(algorithms.get("cispo"), trailing).gradient.item() == pytest.approx(-0.1)
    assert by_verl("cispo", trailing).gradient.item() == pytest.approx(-0.8)


def test_gspo_lets_ratios_up_to_e20_through_where_verl_stops_at_e10() -> None:
    algorithm = algorithms.get("gspo")
    tokens = one_token("gspo", log_ratio=11.0, advantage=-1.0)
    mine = ours(algorithm, tokens)
    verls = by_verl("gspo", tokens, clip_ratio_low=3e-4, clip_ratio_high=4e-4)
    assert mine.loss.log().item() == pytest.approx(11.0)
    assert verls.loss.log().item() == pytest.approx(10.0)
    assert verls.gradient.item() == 0 < mine.gradient.item()


def test_a_log_ratio_of_a_thousand_nats_stays_finite_where_trls_overflows(tmp_path: Path) -> None:
    tokens = one_token("grpo", log_ratio=1000.0, advantage=-1.0, kl_coef=0.0)
    mine = ours(algorithms.get("grpo", kl_coef=0.0), tokens)
    assert mine.loss.log().item() == pytest.approx(20.0)
    assert by_trl(tmp_path, tokens, loss_type="grpo").loss.isinf()


# the aggregate


def test_trls_default_is_the_token_mean_without_kl_where_ours_is_the_papers(
    tmp_path: Path,
) -> None:
    host = policy_trainer("GRPO", tmp_path)
    assert (host.loss_type, host.beta, host.epsilon_low, host.epsilon_high) == ("dapo", 0, 0.2, 0.2)
    algorithm = algorithms.get("grpo", kl_coef=0.0)
    tokens = batch_of(algorithm, EQUAL_GROUPS)
    tokens = tokens.with_columns(old_logprobs=tokens.logprobs.detach())
    mine = ours(algorithm, tokens)
    trls = theirs(trl_loss_of(host, tokens), tokens.logprobs)
    as_trl = ours(replace(algorithm, aggregate=piece(token_mean)), tokens)
    torch.testing.assert_close(as_trl.gradient, trls.gradient, rtol=1e-12, atol=0)
    # a token of a response of n tokens weighs n / (mean n) of what it weighs in ours
    lengths = tokens.mask.sum(dim=1, keepdim=True).double()
    heavier = (lengths / lengths.mean()).expand_as(tokens.mask)
    moved = mine.gradient != 0
    torch.testing.assert_close(
        (trls.gradient / mine.gradient)[moved], heavier[moved], rtol=1e-12, atol=0
    )
    assert heavier[moved].max() / heavier[moved].min() > 3


def test_a_response_without_a_token_is_not_counted_where_trl_counts_it(tmp_path: Path) -> None:
    """TRL has such rows under mask_truncated_completions; verl sides with us (test_verl.py)."""
    algorithm = algorithms.get("grpo", kl_coef=0.0)
    tokens = batch_of(algorithm, EQUAL_GROUPS)
    mask = tokens.mask.clone()
    mask[:3] = False
    tokens = tokens.with_columns(mask=mask)
    mine, trls = ours(algorithm, tokens), by_trl(tmp_path, tokens, loss_type="grpo")
    assert (trls.loss / mine.loss).item() == pytest.approx(9 / 12)


# the distance to the reference


@pytest.fixture
def arms() -> tuple[Tensor, Tensor]:
    """Logits of a policy and log-probs of a reference over five answers."""
    return 3 * uniform("policy arms", 5), (3 * uniform("reference arms", 5)).log_softmax(0)


def expected_gradient(estimate: Any, logits: Tensor) -> Tensor:
    """Of an estimate per sampled answer, summed over all answers with their probabilities."""
    logits = logits.clone().requires_grad_()
    logprobs = logits.log_softmax(0)
    (gradient,) = torch.autograd.grad((logprobs.exp().detach() * estimate(logprobs)).sum(), logits)
    return gradient


def exact_gradient(kl: Any, logits: Tensor) -> Tensor:
    logits = logits.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(kl(logits.log_softmax(0)), logits)
    return gradient


@pytest.mark.parametrize("kind", ["k1", "k2", "k3"])
def test_as_a_loss_k1_does_nothing_k2_is_the_reverse_and_k3_the_forward_kl(
    kind: str, arms: tuple[Tensor, Tensor]
) -> None:
    logits, ref = arms
    exact = {
        "k1": torch.zeros(5).double(),
        "k2": exact_gradient(lambda lp: (lp.exp() * (lp - ref)).sum(), logits),
        "k3": exact_gradient(lambda lp: (ref.exp() * (ref - lp)).sum(), logits),
    }[kind]
    mine = expected_gradient(lambda lp: kl_estimate(lp, ref, kind=kind), logits)
    verls = expected_gradient(lambda lp: core().kl_penalty(lp, ref, kind), logits)
    torch.testing.assert_close(mine, exact, rtol=1e-12, atol=1e-15)
    torch.testing.assert_close(verls, exact, rtol=1e-12, atol=1e-15)


def test_trls_default_bias_correction_turns_k3_into_the_reverse_kl(tmp_path: Path) -> None:
    """On-policy its gradient per token is u, in expectation that of k2; that of k3 is 1 - e^-u."""
    algorithm = algorithms.get("grpo", kl_coef=1.0)
    tokens = batch_of(algorithm, EQUAL_GROUPS)
    tokens = tokens.with_columns(
        old_logprobs=tokens.logprobs.detach(), advantages=torch.zeros(12, 7).double()
    )
    u = (tokens.logprobs - tokens.ref_logprobs).detach()
    share = tokens.mask / (12 * tokens.mask.sum(dim=1, keepdim=True)).double()
    trls = by_trl(tmp_path, tokens, loss_type="grpo", beta=1.0)
    mine = ours(algorithm, tokens)
    torch.testing.assert_close(mine.gradient, share * (1 - (-u).exp()), rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(trls.gradient, share * u, rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(mine.loss, trls.loss, rtol=1e-12, atol=0)


def test_k3_goes_on_beyond_ten_where_verl_cuts_it_and_its_gradient() -> None:
    at = {"policy": torch.tensor([-3.0]).double(), "ref": torch.tensor([0.0]).double()}
    mine = theirs(lambda x: kl_estimate(x, at["ref"], kind="k3").sum(), at["policy"])
    verls = theirs(lambda x: core().kl_penalty(x, at["ref"], "k3").sum(), at["policy"])
    assert mine.loss.item() == pytest.approx(torch.tensor(3.0).exp().item() - 4)  # 16.1
    assert mine.gradient.item() == pytest.approx(1 - torch.tensor(3.0).exp().item())
    assert (verls.loss.item(), verls.gradient.item()) == (10, 0)


# regressions


def test_rebels_code_has_eta_on_the_rewards_and_its_paper_on_the_log_ratio() -> None:
    """The authors' code minimises eta^2 times the loss of the paper; we take the paper's."""
    eta = 3.0
    algorithm = algorithms.get("rebel", eta=eta)
    tokens = batch_of(algorithm, PAIRS)

    def released(logprobs: Tensor) -> Tensor:
        log_ratio = response_sum(logprobs - tokens.old_logprobs, tokens.mask)
        moved, gained = log_ratio[::2] - log_ratio[1::2], tokens.rewards[::2] - tokens.rewards[1::2]
        return (moved - eta * gained).square().mean()

    mine, code = ours(algorithm, tokens), theirs(released, tokens.logprobs)
    torch.testing.assert_close(code.loss, eta**2 * mine.loss, rtol=1e-12, atol=0)
    torch.testing.assert_close(code.gradient, eta**2 * mine.gradient, rtol=1e-12, atol=1e-14)
    as_released = ours(algorithms.get("rebel", eta=eta, form="code"), tokens)
    torch.testing.assert_close(as_released.loss, code.loss, rtol=1e-12, atol=0)
    torch.testing.assert_close(as_released.gradient, code.gradient, rtol=1e-12, atol=1e-14)
    assert dict(algorithms.get("rebel").surrogate.settings)["eta"] == 1.0  # there the two agree


def test_beta_zero_takes_the_best_sample_where_the_released_code_takes_their_mean(
    tmp_path: Path,
) -> None:
    rewards = torch.tensor([[0.0, 0.0, 1.0, 0.0]] * 3).double()
    row = rewards[0].tolist()
    assert optimal_value(row, beta=0.0) == 1
    assert optimal_value(row, beta=1e-9) == pytest.approx(1)  # the limit
    assert optimal_value(row, beta=float("inf")) == 0.25
    assert optimal_value(row, beta=1e9) == pytest.approx(0.25)
    # TRL divides by beta: at 0 it has no value at all
    host = a2po_trainer(tmp_path, beta1=0.0, num_value_samples=4, filter_all_incorrect=False)
    host.chosen_rewards = rewards.flatten()
    host._estimate_optimal_values()
    assert all(value != value for value in host._optimal_values.values())


def test_trl_drops_prompts_that_no_sample_solved_unless_told_not_to(tmp_path: Path) -> None:
    host = a2po_trainer(tmp_path, num_value_samples=4)
    host.chosen_rewards = torch.tensor([0.0] * 4 + [1.0] * 8).double()
    host._estimate_optimal_values()
    assert host.train_dataset["prompt"] == ["b", "c"]
    # ours keeps every response: what to sample next is the recipe's decision
    rollout = hashed_rollout(columns=["logprobs", "ref_logprobs", "optimal_values"])
    assert algorithms.get("a_star_po").keep(rollout).all()


# defaults of settings that both sides call by the same name


def test_the_value_clip_is_ppos_where_verls_default_is_wider() -> None:
    config = peer("verl.workers.config").CriticConfig
    assert config.__dataclass_fields__["cliprange_value"].default == 0.5
    value_loss = algorithms.get("ppo").value_loss
    assert value_loss is not None
    assert dict(value_loss.settings)["clip"] == 0.2


def test_opd_is_on_policy_and_reverse_where_gkd_mixes_both() -> None:
    config = peer("trl.experimental.gkd").GKDConfig
    defaults = {n: config.__dataclass_fields__[n].default for n in ("lmbda", "beta", "temperature")}
    assert defaults == {"lmbda": 0.5, "beta": 0.5, "temperature": 0.9}
    assert [d.kind for d in algorithms.get("opd").divergences] == ["reverse_kl"]
