"""Numbers about an update, worked by hand on three tokens."""

import pytest
import torch
from torch import Tensor

from jumar import algorithms
from jumar.algorithm import Algorithm, policy_loss
from jumar.correction import corrected
from jumar.engines.local.diagnostics import of_rollout, of_update
from jumar.types import LossScale, RolloutBatch, TokenBatch

MASK = torch.tensor([[True, True], [True, False]])


def batch(logprobs: list[list[float]], **columns: Tensor) -> TokenBatch:
    given = {
        "correct": torch.tensor([True, False]),
        "truncated": torch.tensor([False, False]),
        "group_ids": torch.tensor([0, 0]),
        "advantages": torch.tensor([[1.0, 1.0], [-1.0, 0.0]]),
        "active": torch.tensor([True, True]),
    }
    leaf = torch.tensor(logprobs, requires_grad=True)
    return TokenBatch.build(mask=MASK, logprobs=leaf, **{**given, **columns})


def measured(algorithm: Algorithm, tokens: TokenBatch) -> dict[str, float]:
    tokens.logprobs.retain_grad()
    scale = LossScale.of(tokens)
    policy_loss(algorithm, tokens, scale).loss.backward()
    found = of_update(algorithm, tokens, scale)
    return {name: float(total / count) for name, (total, count) in found.items()}


def test_log_probs_of_right_and_of_wrong_responses_are_apart() -> None:
    old = torch.tensor([[-1.0, -2.0], [-3.0, 0.0]])
    found = measured(algorithms.dapo(), batch([[-1.0, -2.0], [-3.0, 0.0]], old_logprobs=old))
    assert found["logprob/right"] == -1.5
    assert found["logprob/wrong"] == -3.0


@pytest.mark.parametrize("name", ["dapo", "grpo", "sym_dapo"])
def test_clipped_tokens_are_counted_on_both_sides(name: str) -> None:
    """Ratios e^0.5 where A > 0, 1 where A > 0, e^-0.5 where A < 0: the outer two are flat."""
    old = torch.tensor([[-1.5, -2.0], [-2.5, 0.0]])
    tokens = batch([[-1.0, -2.0], [-3.0, 0.0]], old_logprobs=old, ref_logprobs=old)
    found = measured(algorithms.get(name), tokens)  # a KL term of grpo's does not hide it
    assert found["clip/high"] == pytest.approx(1 / 3)
    assert found["clip/low"] == pytest.approx(1 / 3)


def test_the_same_ratios_where_the_clip_does_not_hold_them_are_not_counted() -> None:
    """e^-0.5 where A > 0 and e^0.5 where A < 0 are let through."""
    old = torch.tensor([[-0.5, -2.0], [-3.5, 0.0]])
    found = measured(algorithms.dapo(), batch([[-1.0, -2.0], [-3.0, 0.0]], old_logprobs=old))
    assert found["clip/high"] == found["clip/low"] == 0


def test_weights_leads_and_what_a_symmetric_kl_would_turn_round() -> None:
    """Leads: ln 4 ahead, ln 1.5 behind, 20 ahead; weights 1/4 -> 0.5, 1.5 and 0.5.

    Half a KL coefficient of 0.1 times the square pulls with 0.14, -0.04 and 2: only the last is
    stronger than |A| = 1.
    """
    reference = torch.tensor([[-3.0, -2.0], [-3.0, 0.0]])
    ahead, behind = torch.log(torch.tensor([4.0, 1.5])).tolist()
    tokens = batch(
        [[-3.0 + ahead, -2.0 - behind], [-23.0, 0.0]],
        ref_logprobs=reference,
        old_logprobs=torch.tensor([[-3.0 + ahead, -2.0 - behind], [-23.0, 0.0]]),
    )
    found = measured(algorithms.owpo(), tokens)
    assert found["lead"] == pytest.approx(2 / 3)
    assert found["reversed_by_kl_0.1"] == pytest.approx(1 / 3)
    shares = [found[f"weight/up_to_{edge}"] for edge in ("0.5", "0.8", "1", "1.25", "2")]
    assert shares == pytest.approx([2 / 3, 2 / 3, 2 / 3, 2 / 3, 1.0])
    assert found["reversed"] == 0


def test_the_gap_between_sampler_and_trainer_is_a_mean_over_tokens() -> None:
    old = torch.tensor([[-1.0, -2.0], [-3.0, 0.0]])
    sampler = torch.tensor([[-1.0, -2.3], [-2.7, 0.0]])
    tokens = batch(old.tolist(), old_logprobs=old, rollout_logprobs=sampler)
    assert measured(algorithms.dapo(), tokens)["logprob/gap"] == pytest.approx(0.2)


def test_a_correction_tells_its_mean_and_how_much_lies_out_of_bounds() -> None:
    """Trainer over sampler e^0, e^0.3 and e^-0.3; at most 1.2, so one of three tokens is cut."""
    old = torch.tensor([[-1.0, -2.0], [-3.0, 0.0]])
    sampler = torch.tensor([[-1.0, -2.3], [-2.7, 0.0]])

    def under(record: Algorithm) -> dict[str, float]:
        columns = {"optimal_values": torch.zeros(2), "rewards": torch.zeros(2)}
        for name in ("old_logprobs", "ref_logprobs"):
            columns[name] = old
        return measured(record, batch(old.tolist(), rollout_logprobs=sampler, **columns))

    for plain in (algorithms.dapo(), algorithms.owpo()):
        found = under(corrected(plain, kind="truncated", ratio_max=1.2))
        assert found["correction"] == pytest.approx((1 + 1.2 + 0.740818) / 3, abs=1e-5)
        assert found["correction/outside"] == pytest.approx(1 / 3)
    # product of the first response e^0.3, of the second e^-0.3: two tokens of three
    per_response = algorithms.a_star_po()
    found = under(corrected(per_response, kind="masked", level="response", ratio_max=1.2))
    assert found["correction"] == pytest.approx(0.740818 / 3, abs=1e-5)
    assert found["correction/outside"] == pytest.approx(2 / 3)


def test_a_rollout_counts_tied_groups_and_long_responses() -> None:
    lengths = torch.tensor([1, 2, 3, 10])
    correct = torch.tensor([True, True, True, False])
    found = of_rollout(
        RolloutBatch.build(
            mask=torch.arange(10) < lengths[:, None],
            rewards=correct.float(),
            correct=correct,
            group_ids=torch.tensor([5, 5, 9, 9]),
        )
    )
    assert found["groups/tied"] == 0.5
    assert found["response_tokens/max"] == 10
    assert found["response_tokens/right"] == 2
    assert found["response_tokens/wrong"] == 10
    assert found["response_tokens/p90"] == pytest.approx(7.9)  # 3 + 0.7 * 7
