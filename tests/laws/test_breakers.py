"""What breaks a law is noticed: each test writes the mistake and sees the law object."""

import pytest
import torch
from torch import Tensor

from jumar.advantages.group import group_mean_baseline
from jumar.algorithm import Algorithm
from jumar.algorithms.sft import negative_log_likelihood
from jumar.errors import MissingColumnError
from jumar.pieces import piece, promises, reads
from jumar.types import LossScale, RolloutBatch, Signals, State, TokenBatch

from . import test_laws as laws
from .worlds import LAWS, SUBJECTS, run, world


def breaks(subject: str, law: str) -> None:
    """The law, as its test runs it, fails on this subject."""
    with pytest.raises((AssertionError, MissingColumnError, pytest.fail.Exception)):
        LAWS[law].__wrapped__(subject)


@pytest.fixture
def subject(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    monkeypatch.setitem(SUBJECTS, "mistake", Algorithm(name="reinforce", **request.param))
    return "mistake"


def own_mean(loss: Tensor, tokens: TokenBatch, scale: LossScale) -> Tensor:
    return loss[tokens.mask].sum() / tokens.mask.sum().clamp(min=1)


def mean_over_padding(tokens: TokenBatch) -> Tensor:
    return -tokens.logprobs.mean(dim=1, keepdim=True).expand_as(tokens.mask)


def reads_more_than_it_says(tokens: TokenBatch) -> Tensor:
    return -tokens.ref_logprobs * tokens.logprobs


@reads("ref_logprobs")
def reads_less_than_it_says(tokens: TokenBatch) -> Tensor:
    return -tokens.logprobs


def unclamped(tokens: TokenBatch) -> Tensor:
    return (tokens.logprobs - tokens.old_logprobs).exp()


def batch_mean_baseline(rollout: RolloutBatch, state: State) -> tuple[Signals, State]:
    return Signals(advantages=rollout.rewards - rollout.rewards.mean()), state


@promises("group_centred")
def lying_baseline(rollout: RolloutBatch, state: State) -> tuple[Signals, State]:
    return batch_mean_baseline(rollout, state)


def modest_baseline(rollout: RolloutBatch, state: State) -> tuple[Signals, State]:
    return group_mean_baseline(rollout, state)


@promises("policy_gradient")
def lying_surrogate(tokens: TokenBatch) -> Tensor:
    return -2 * tokens.advantages * tokens.logprobs


@promises("per_response")
def per_token_after_all(tokens: TokenBatch) -> Tensor:
    return -tokens.logprobs


def by_row_position(rollout: RolloutBatch, state: State) -> tuple[Signals, State]:
    return Signals(advantages=torch.arange(len(rollout)).to(rollout.rewards)), state


def neighbour(tokens: TokenBatch) -> Tensor:
    return -tokens.logprobs * tokens.logprobs.roll(1, dims=0)


def mistake(law: str, **slots: object) -> object:
    slots.setdefault("surrogate", piece(negative_log_likelihood))
    return pytest.param(slots, law, id=law)


@pytest.mark.parametrize(
    ("subject", "law"),
    [
        mistake("micro batches add up", surrogate=piece(neighbour)),
        mistake("micro batches add up", aggregate=piece(own_mean)),
        mistake("more padding changes nothing", surrogate=piece(mean_over_padding)),
        mistake(
            "declared columns are enough and each is read",
            surrogate=piece(reads_more_than_it_says),
        ),
        mistake(
            "declared columns are enough and each is read",
            surrogate=piece(reads_less_than_it_says),
        ),
        mistake(
            "log ratios of ten thousand nats stay finite",
            surrogate=piece(reads("old_logprobs")(unclamped)),
        ),
        mistake("row order and group labels change nothing", advantage=piece(by_row_position)),
        mistake(
            "group centred tied rewards give exactly no advantage", advantage=piece(lying_baseline)
        ),
        mistake(
            "group centred tied rewards give exactly no advantage", advantage=piece(modest_baseline)
        ),
        mistake(
            "policy gradient on policy it is the weighted advantage",
            advantage=piece(batch_mean_baseline),
            surrogate=piece(lying_surrogate),
        ),
        mistake(
            "per response the surrogate gives one loss for each",
            surrogate=piece(per_token_after_all),
        ),
    ],
    indirect=["subject"],
)
def test_a_mistake_is_caught_by_its_law(subject: str, law: str) -> None:
    breaks(subject, law)


def test_the_worlds_are_not_trivial() -> None:
    """Clips act on both sides, a response is empty, a mask has a hole, a group has one row."""
    w = world(SUBJECTS["grpo"])
    ratio = (w.live["logprobs"] - w.rollout["old_logprobs"]).exp()[w.rollout["mask"]]
    assert (ratio > 1.2).any()
    assert (ratio < 0.8).any()
    assert (~w.rollout["mask"].any(dim=1)).sum() == 1
    assert w.rollout["mask"][0].tolist() == [True, True, False, True, True]
    assert torch.bincount(w.rollout["group_ids"]).tolist() == [4, 3, 1, 4]


# --- a nonlinear function of the whole step, through `batch_stats`


def ratio_totals(tokens: TokenBatch) -> dict[str, tuple[Tensor, Tensor]]:
    ratio = (tokens.logprobs - tokens.old_logprobs).exp()
    return {"ratio": ((ratio * tokens.mask).sum(), tokens.mask.sum())}


@reads("old_logprobs")
def adaptive_clip(tokens: TokenBatch) -> Tensor:
    """The clip range is the mean ratio of the step, so no micro-batch can know it alone."""
    total, count = tokens.stats["ratio"]
    ratio = (tokens.logprobs - tokens.old_logprobs).exp()
    return -tokens.advantages * torch.minimum(ratio, total / count)


ADAPTIVE = Algorithm(
    name="adaptive",
    surrogate=piece(adaptive_clip),
    advantage=piece(batch_mean_baseline),
    batch_stats=piece(ratio_totals),
)


def test_batch_stats_make_a_step_wide_clip_additive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SUBJECTS, "adaptive", ADAPTIVE)
    LAWS["micro batches add up"].__wrapped__("adaptive")
    LAWS["row order and group labels change nothing"].__wrapped__("adaptive")


def test_batch_stats_are_those_of_the_step_not_of_the_micro_batch() -> None:
    w = world(ADAPTIVE)
    seen = w.tokens(w.live)
    total, count = ratio_totals(seen)["ratio"]
    assert count == seen.mask.sum()
    laws.assert_same(run(w), run(w, [torch.arange(6), torch.arange(6, 12)]))
    halves = [ratio_totals(seen.select(rows))["ratio"] for rows in torch.arange(12).split(6)]
    assert all(not torch.isclose(s / n, total / count) for s, n in halves)


# --- a loss of whole groups


@pytest.mark.parametrize("name", [n for n, a in SUBJECTS.items() if a.unit == "group"])
def test_splitting_a_group_changes_a_loss_that_declares_group(name: str) -> None:
    w = world(SUBJECTS[name])
    whole, split = run(w), run(w, list(torch.arange(12).split(1)))
    assert abs(whole.loss - split.loss) > 1e-3
