from dataclasses import FrozenInstanceError, replace

import pytest
import torch
from torch import Tensor

from jumar import algorithms
from jumar.aggregates import response_mean
from jumar.algorithm import Algorithm, Penalty, compute_signals, policy_loss, reduced_stats
from jumar.errors import ConfigurationError, ShapeError
from jumar.ops.divergence import Divergence
from jumar.penalties.kl import requested_divergence, sampled_kl
from jumar.pieces import piece
from jumar.schedules import Schedule, linear
from jumar.surrogates.score_function import score_function
from jumar.types import LossScale, RolloutBatch, Signals, State, TokenBatch

MASK = torch.tensor([[True, True], [True, False]])


def tokens(**columns: Tensor) -> TokenBatch:
    given = {
        "advantages": torch.tensor([[1.0, 1.0], [-2.0, 0.0]]),
        "logprobs": torch.tensor([[-1.0, -2.0], [-3.0, 0.0]]),
        "group_ids": torch.tensor([0, 0]),
    }
    return TokenBatch.build(mask=MASK, **{**given, **columns})


def rollout(rewards: Tensor) -> RolloutBatch:
    return RolloutBatch.build(mask=MASK, rewards=rewards, group_ids=torch.tensor([0, 0]))


def halves(batch: TokenBatch) -> Tensor:
    return torch.full_like(batch.logprobs, 0.5)


def per_response(batch: TokenBatch) -> Tensor:
    return batch.logprobs.sum(dim=1)


def counting(rollout: RolloutBatch, state: State) -> tuple[Signals, State]:
    return Signals(advantages=rollout.rewards * state["seen"]), {"seen": state["seen"] + 1}


def one_seen() -> State:
    return {"seen": torch.tensor(1.0)}


def test_the_loss_is_the_formula() -> None:
    """loss = aggregate(token_weight * surrogate) + coef * aggregate_k(penalty), by hand."""
    kl = Penalty(
        name="kl", coef=0.1, piece=piece(sampled_kl, kind="k2"), aggregate=piece(response_mean)
    )
    algorithm = Algorithm(
        name="mine", surrogate=piece(score_function), token_weight=piece(halves), penalties=(kl,)
    )
    batch = tokens(ref_logprobs=torch.tensor([[-1.0, -1.0], [-1.0, 0.0]]))
    output = policy_loss(algorithm, batch, LossScale.of(batch))
    # surrogate -A log pi: 1, 2, -6; halved 0.5, 1, -3; mean -0.5
    # u: 0, -1, -2; k2: 0, 0.5, 2; response means 0.25 and 2; mean 1.125; times 0.1
    assert float(output.loss) == pytest.approx(-0.5 + 0.1125)
    sums = {name: (float(s), int(n)) for name, (s, n) in output.metrics.items()}
    assert sums == {
        "surrogate": (-3, 3),
        "weight": (1.5, 3),
        "weight_above_1": (0, 3),
        "kl": (2.5, 3),
    }


def test_a_penalty_follows_its_schedule() -> None:
    schedule = linear(1.0, 0.0, 10)
    kl = Penalty(name="kl", coef=schedule, piece=piece(sampled_kl, kind="k1"))
    algorithm = Algorithm(name="mine", surrogate=piece(score_function), penalties=(kl,))
    batch = tokens(ref_logprobs=torch.zeros(2, 2))

    def at(step: int) -> float:
        scale = replace(LossScale.of(batch), step=step)
        return float(policy_loss(algorithm, batch, scale).loss)

    # surrogate mean (1 + 2 - 6) / 3 = -1; k1 mean (-1 - 2 - 3) / 3 = -2
    assert [at(0), at(5), at(10)] == pytest.approx([-3, -2, -1])


def test_weights_per_token_have_no_place_on_a_loss_per_response() -> None:
    algorithm = Algorithm(
        name="mine",
        surrogate=piece(per_response),
        token_weight=piece(halves),
        aggregate=piece(response_mean),
    )
    with pytest.raises(ShapeError, match="`mine` has a loss per response") as caught:
        policy_loss(algorithm, tokens(), LossScale.of(tokens()))
    assert "Leave token_weight out" in str(caught.value)


def test_signals_hold_the_shaped_reward_per_response_and_per_token() -> None:
    signals, _ = compute_signals(algorithms.rloo(), rollout(torch.tensor([1.0, 0.0])), {})
    assert signals.columns["rewards"].tolist() == [1, 0]
    assert signals.columns["token_rewards"].tolist() == [[0, 1], [0, 0]]
    assert signals.advantages.tolist() == [[1, 1], [-1, 0]]


def test_a_reward_per_token_is_summed_for_those_who_want_one_number() -> None:
    algorithm = algorithms.ppo(kl_coef=0.5)
    batch = rollout(torch.tensor([1.0, 0.0])).with_columns(
        old_logprobs=torch.tensor([[-1.0, -2.0], [-1.0, 0.0]]),
        ref_logprobs=torch.tensor([[-2.0, -2.0], [-0.5, 0.0]]),
        old_values=torch.zeros(2, 2),
    )
    signals, _ = compute_signals(algorithm, batch, {})
    # the KL terms are 1, 0 and -0.5
    assert signals.columns["token_rewards"].tolist() == [[-0.5, 1], [0.25, 0]]
    assert signals.columns["rewards"].tolist() == [0.5, 0.25]


def test_state_is_passed_from_rollout_to_rollout() -> None:
    algorithm = Algorithm(
        name="mine",
        surrogate=piece(score_function),
        advantage=piece(counting),
        init_state=piece(one_seen),
    )
    state = algorithm.init_state()
    batch = rollout(torch.tensor([1.0, 2.0]))
    first, state = compute_signals(algorithm, batch, state)
    second, state = compute_signals(algorithm, batch, state)
    assert first.advantages.tolist() == [[1, 1], [2, 0]]
    assert second.advantages.tolist() == [[2, 2], [4, 0]]
    assert float(state["seen"]) == 3


def test_a_record_says_what_the_engine_must_provide() -> None:
    assert algorithms.owpo().reads == {"old_logprobs", "ref_logprobs"}
    assert algorithms.owpo().makes == {"active"}
    assert algorithms.grpo().reads == {"old_logprobs", "ref_logprobs"}
    assert algorithms.grpo(kl_coef=0.0).reads == {"old_logprobs"}
    assert algorithms.ppo().reads == {"old_logprobs", "old_values", "values"}
    assert algorithms.ppo(kl_coef=0.1).reads == {
        "old_logprobs", "old_values", "values", "ref_logprobs",
    }  # fmt: skip
    assert algorithms.a_star_po().reads == {"ref_logprobs", "optimal_values"}
    assert algorithms.rloo().reads == set()
    assert algorithms.opd().reads == set()
    assert algorithms.opd().divergences == (Divergence(kind="reverse_kl", target="teacher"),)


def test_a_requested_divergence_keeps_its_gradient() -> None:
    request = Divergence(kind="entropy")
    bonus = Penalty(
        name="entropy", coef=0.5, piece=piece(requested_divergence, divergence=request, sign=-1.0)
    )
    algorithm = Algorithm(name="mine", surrogate=piece(score_function), penalties=(bonus,))
    entropy = torch.ones(2, 2, requires_grad=True)
    batch = tokens(entropy=entropy)
    policy_loss(algorithm, batch, LossScale.of(batch)).loss.backward()
    assert entropy.grad is not None
    torch.testing.assert_close(entropy.grad, -0.5 / 3 * MASK)


def test_without_batch_stats_there_are_none() -> None:
    assert reduced_stats(algorithms.grpo(), [tokens()]) == {}


def test_a_record_is_frozen_and_changed_by_replace() -> None:
    algorithm = algorithms.grpo()
    with pytest.raises(FrozenInstanceError):
        algorithm.name = "mine"  # type: ignore[misc]
    assert replace(algorithm, name="mine").surrogate == algorithm.surrogate


# --- the folder as registry


def test_an_alias_finds_its_algorithm() -> None:
    assert algorithms.get("a2po") == algorithms.a_star_po()
    assert algorithms.card("a2po").name == "a_star_po"


def test_a_short_name_of_several_asks_for_the_long_one() -> None:
    with pytest.raises(ConfigurationError, match="Write the long name") as caught:
        algorithms.get("spo")
    assert "spo_segment, spo_self_play, spo_single_stream" in str(caught.value)


def test_a_factory_stays_a_factory_after_its_module_is_imported() -> None:
    import jumar.algorithms.owpo

    assert callable(algorithms.owpo)
    assert callable(algorithms.dapo)
    assert jumar.algorithms.owpo is algorithms.owpo


@pytest.mark.parametrize(
    ("name", "settings", "says"),
    [
        ("owppo", {}, "There is no algorithm `owppo`. Did you mean owpo"),
        ("zzz", {}, "There is no algorithm `zzz`. There are: a_star_po, "),
        ("owpo", {"wmax": 2}, "`owpo` has no setting `wmax`. Did you mean w_max?"),
        ("rloo", {"eps": 2}, "`rloo` has no setting `eps`. There are none."),
        ("grpo", {"kl_coef": {"begin": 1}}, "A schedule got {'begin': 1}, but needs start, end"),
    ],
)
def test_what_is_unknown_is_refused_with_the_nearest_name(
    name: str, settings: dict[str, object], says: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        algorithms.get(name, **settings)
    assert says in str(caught.value)


def test_a_schedule_is_given_as_a_mapping() -> None:
    algorithm = algorithms.get("grpo", kl_coef={"start": 0.1, "end": 0.0, "steps": 5})
    assert algorithm.penalties[0].coef == Schedule(start=0.1, end=0.0, steps=5)


def test_an_attribute_that_is_no_algorithm_is_none() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = algorithms.nothing
