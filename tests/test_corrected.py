"""An algorithm and its correction, put together or refused."""

from dataclasses import replace

import pytest
import torch

from golden.batch import hashed_rollout, hashed_tokens
from jumar import algorithms
from jumar.algorithm import Algorithm, policy_loss, reduced_stats
from jumar.correction import corrected
from jumar.errors import ConfigurationError
from jumar.types import LossScale, TokenBatch

SAMPLED = [
    name
    for name in algorithms.names()
    if (record := algorithms.get(name)).rows == "sampled" and record.unit != "group"
    and "rollout_logprobs" not in record.reads
]  # fmt: skip


def tokens_of(algorithm: Algorithm) -> TokenBatch:
    divergences = {d.column for d in algorithm.divergences}
    columns = {"logprobs", "old_logprobs", "rollout_logprobs", *algorithm.reads, *divergences}
    return hashed_tokens(algorithm, hashed_rollout(columns=sorted(columns)))


def loss_and_gradient(algorithm: Algorithm, tokens: TokenBatch) -> tuple[torch.Tensor, ...]:
    loss = policy_loss(algorithm, tokens, LossScale.of(tokens)).loss
    wanted = [c for c in tokens.columns.values() if c.requires_grad]
    return loss, *torch.autograd.grad(loss, wanted, allow_unused=True)


def least(algorithm: Algorithm) -> str:
    """The finest level that the algorithm takes."""
    return "response" if "per_response" in algorithm.traits else "token"


def test_without_a_kind_the_algorithm_is_itself() -> None:
    owpo = algorithms.owpo()
    assert corrected(owpo, kind="none") is owpo


def test_the_correction_multiplies_the_weight_that_is_there() -> None:
    owpo = algorithms.owpo()
    both = corrected(owpo, kind="truncated", ratio_max=2.0)
    tokens = tokens_of(both)
    ratio = (tokens.old_logprobs - tokens.rollout_logprobs).exp().clamp(max=2.0)
    expected = owpo.token_weight(tokens) * ratio
    torch.testing.assert_close(both.token_weight(tokens), expected, rtol=1e-12, atol=0)
    assert (ratio == 2.0).any()
    assert both.reads == owpo.reads | {"rollout_logprobs"}
    assert repr(both.token_weight).startswith("product(first=one_way_weight(")


def test_a_weight_of_whole_responses_keeps_them_whole() -> None:
    assert corrected(algorithms.grpo(), kind="masked").unit == "token"
    assert corrected(algorithms.grpo(), kind="masked", level="geometric").unit == "response"
    assert corrected(algorithms.gspo(), kind="masked", level="response").unit == "response"


def test_a_loss_per_response_takes_the_weight_of_the_response_by_hand() -> None:
    """Log-ratios to the reference 0.5 and -1; to the sampler ln 2 and -1: weights 2 and 1/e."""
    record = corrected(
        algorithms.a_star_po(beta=1.0), kind="truncated", level="response", ratio_max=3.0
    )
    tokens = TokenBatch.build(
        mask=torch.tensor([[True, True], [True, False]]),
        logprobs=torch.tensor([[-1.0, -1.0], [-2.0, 0.0]], dtype=torch.float64),
        ref_logprobs=torch.tensor([[-1.5, -1.0], [-1.0, 0.0]], dtype=torch.float64),
        old_logprobs=torch.tensor([[-1.0, -1.0], [-2.0, 0.0]], dtype=torch.float64),
        rollout_logprobs=torch.tensor([[-1.346573590, -1.346573590], [-1.0, 0.0]]).double(),
        rewards=torch.tensor([1.0, 0.0], dtype=torch.float64),
        optimal_values=torch.tensor([0.25, 0.5], dtype=torch.float64),
        group_ids=torch.tensor([0, 1]),
    )
    # (0.5 - 0.75)^2 = 0.0625 times 2; (-1 + 0.5)^2 = 0.25 times 0.367879; the mean of both
    loss = policy_loss(record, tokens, LossScale.of(tokens)).loss
    assert float(loss) == pytest.approx((0.125 + 0.0919699) / 2, abs=1e-6)


@pytest.mark.parametrize("name", SAMPLED)
def test_where_the_sampler_agrees_nothing_changes_to_the_last_bit(name: str) -> None:
    plain = algorithms.get(name)
    tokens = tokens_of(plain)
    tokens = tokens.with_columns(rollout_logprobs=tokens.old_logprobs.detach())
    tokens = replace(tokens, stats=reduced_stats(plain, [tokens]))
    expected = loss_and_gradient(plain, tokens) if plain.batch_stats is None else None
    for kind in ("truncated", "masked"):
        for level in ("token", "response", "geometric"):
            if level == "token" and least(plain) == "response":
                continue
            other = corrected(plain, kind=kind, level=level, ratio_min=0.5, ratio_max=5.0)
            assert (other.token_weight(tokens) == plain.token_weight(tokens)).all()
            if expected is None:  # BAPO's bounds come from the whole step: its weight is enough
                continue
            for one, two in zip(expected, loss_and_gradient(other, tokens), strict=True):
                assert (one is None) == (two is None)
                assert one is None or torch.equal(one, two)


@pytest.mark.parametrize("name", sorted(set(algorithms.names()) - set(SAMPLED)))
def test_what_a_correction_means_nothing_for_is_refused_with_a_reason(name: str) -> None:
    record = algorithms.get(name)
    reason = "one loss for a whole group"
    if record.rows == "stored":
        reason = "stored rows"
    if "rollout_logprobs" in record.reads:
        reason = "the sampler's own log-probs"
    with pytest.raises(ConfigurationError, match=reason) as refusal:
        corrected(record, kind="truncated", level="response")
    assert "Set correction.kind=none" in str(refusal.value)


@pytest.mark.parametrize("name", ["a_star_po", "dro", "implicit_ce"])
def test_a_loss_per_response_has_no_weight_per_token(name: str) -> None:
    with pytest.raises(ConfigurationError, match=r"Set correction\.level to response or geometric"):
        corrected(algorithms.get(name), kind="masked", level="token")
