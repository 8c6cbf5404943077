"""Hand-worked weights, the schedule of active samples, and the paper's propositions."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from jumar import algorithms
from jumar.algorithm import Penalty, compute_signals
from jumar.penalties.kl import sampled_kl
from jumar.pieces import piece
from jumar.schedules import linear
from jumar.types import RolloutBatch, TokenBatch

from .hand import gradient_of, loss_of, near, rollout, tokens

DOUBLE = torch.float64
OWPO, DAPO = algorithms.owpo(), algorithms.dapo()

# log pi, log pi_ref, A                 lead       weight
CASES = [
    (-1.0, -1.5, 1.0),  # I    ahead    0.5   exp(-0.5) = 0.606531
    (-2.0, -1.8, 1.0),  # II   behind  -0.2   exp(0.2) = 1.221403
    (-1.0, -1.5, -1.0),  # III behind  -0.5   exp(0.5) = 1.648721
    (-3.0, -1.0, -1.0),  # IV  ahead    2.0   0.135335, so w_min
    (-3.0, -1.0, 1.0),  # II   behind  -2.0   7.389056, so w_max
    (-3.0, -1.0, 0.0),  # no verdict    0.0   1
]
WEIGHTS = [0.606531, 1.221403, 1.648721, 0.5, 2.0, 1.0]


def cases(**changed: object) -> TokenBatch:
    policy, reference, advantage = zip(*CASES, strict=True)
    columns = {
        "old_logprobs": [[x] for x in policy],
        "ref_logprobs": [[x] for x in reference],
        "advantages": list(advantage),
        "active": [True] * len(CASES),
    }
    return tokens([[x] for x in policy], **{**columns, **changed})


def test_weights_by_hand() -> None:
    near(OWPO.token_weight(cases())[:, 0], WEIGHTS)


def test_the_loss_is_the_weighted_loss_of_dapo_by_hand() -> None:
    # -A w: -0.606531 - 1.221403 + 1.648721 + 0.5 - 2 + 0 = -1.679213; over six tokens
    near(loss_of(OWPO, cases()), -0.279869)
    near(gradient_of(OWPO, cases())[:, 0], [-0.101089, -0.203567, 0.274787, 0.083333, -1 / 3, 0])


@pytest.mark.parametrize(
    ("variant", "weights"),
    [
        # every deviation is damped by its size, whatever the verdict
        ("no_asymmetry", [0.606531, 0.818731, 0.606531, 0.5, 0.5, 0.5]),
        ("no_locking", [1.0, 1.221403, 1.648721, 1.0, 2.0, 1.0]),
        ("no_acceleration", [0.606531, 1.0, 1.0, 0.5, 1.0, 1.0]),
    ],
)
def test_ablations_by_hand(variant: str, weights: list[float]) -> None:
    near(algorithms.get("owpo", variant=variant).token_weight(cases())[:, 0], weights)


def test_a_policy_equal_to_its_reference_trains_exactly_as_dapo() -> None:
    """Right after a swap of the reference; the ablations too, where a verdict exists."""
    policy = [[x] for x, _, _ in CASES]
    batch = cases(ref_logprobs=policy)
    assert torch.equal(OWPO.token_weight(batch), torch.ones(6, 1, dtype=DOUBLE))
    assert torch.equal(loss_of(OWPO, batch), loss_of(DAPO, batch))
    assert torch.equal(gradient_of(OWPO, batch), gradient_of(DAPO, batch))


# --- Which log-prob is in the deviation


def test_the_deviation_is_of_the_current_policy_or_of_the_one_that_sampled() -> None:
    old = algorithms.owpo(policy="old_logprobs")
    near(old.token_weight(cases())[:, 0], WEIGHTS)  # the same on the first update
    moved = cases(old_logprobs=[[-1.5]] + [[x] for x, _, _ in CASES[1:]])
    near(OWPO.token_weight(moved)[0], [0.606531])
    near(old.token_weight(moved)[0], [1.0])


# --- Active samples


def actives(rows: RolloutBatch, **settings: object) -> Tensor:
    algorithm = algorithms.get("owpo", **settings)
    signals, _ = compute_signals(algorithm, rows, algorithm.init_state())
    return signals.columns["active"]


def sixteen(**scalars: int) -> RolloutBatch:
    return rollout([1.0, 0.0] * 8, groups=[0] * 8 + [1] * 8, **scalars)


def test_the_count_of_active_samples_decays_over_a_stage() -> None:
    schedule = linear(8, 2, 6, clock="stage_step")
    for step, count in enumerate([8, 7, 6, 5, 4, 3, 2, 2]):
        active = actives(sixteen(step=500 + step, stage_step=step), active_samples=schedule)
        assert [int(active[:8].sum()), int(active[8:].sum())] == [count, count]
    fresh = actives(sixteen(step=600, stage_step=0), active_samples=schedule)
    assert fresh.all(), "a new stage begins with all of them"


def test_all_are_active_unless_counted_and_none_may_be() -> None:
    assert actives(sixteen()).all()
    assert actives(sixteen(), active_samples=99).all()
    assert not actives(sixteen(), active_samples=0).any()


def test_the_draw_is_seeded_and_new_at_each_step() -> None:
    def drawn(**scalars: int) -> list[bool]:
        return actives(sixteen(**scalars), active_samples=4).tolist()

    assert drawn(seed=1, step=5) == drawn(seed=1, step=5)
    assert len({tuple(drawn(seed=1, step=step)) for step in range(20)}) > 15
    assert len({tuple(drawn(seed=seed, step=5)) for seed in range(20)}) > 15
    assert drawn(seed=1, step=5)[:8] != drawn(seed=1, step=5)[8:]


def test_the_draw_does_not_depend_on_row_order() -> None:
    rows = sixteen(seed=3, step=2)
    order = torch.randperm(16, generator=torch.Generator().manual_seed(0))
    expected = actives(rows, active_samples=3)[order]
    assert torch.equal(expected, actives(rows.select(order), active_samples=3))


def test_an_inactive_sample_trains_as_plain_dapo() -> None:
    active = torch.tensor([True, False, True, False, True, False])
    batch = cases(active=active)
    weighted, plain = gradient_of(OWPO, cases()), gradient_of(DAPO, batch)
    expected = torch.where(active[:, None], weighted, plain)
    near(gradient_of(OWPO, batch), expected, atol=1e-12)


# --- The propositions

rows_of = st.lists(
    st.tuples(st.floats(-9, -0.01), st.floats(-9, -0.01), st.floats(-9, -0.01), st.floats(-3, 3)),
    min_size=1,
    max_size=8,
)


def drawn_tokens(rows: list[tuple[float, float, float, float]]) -> TokenBatch:
    policy, reference, old, advantage = zip(*rows, strict=True)
    return tokens(
        [[x] for x in policy],
        ref_logprobs=[[x] for x in reference],
        old_logprobs=[[x] for x in old],
        advantages=list(advantage),
        active=[True] * len(rows),
    )


@given(rows=rows_of)
def test_no_token_is_pushed_against_the_verifiers_direction(
    rows: list[tuple[float, float, float, float]],
) -> None:
    """The effective progress coefficient is the weight, and it is positive."""
    batch = drawn_tokens(rows)
    ours, plain = gradient_of(OWPO, batch), gradient_of(DAPO, batch)
    assert torch.equal(ours.sign(), plain.sign())
    near(ours, plain * OWPO.token_weight(batch), atol=1e-12)


@given(rows=rows_of)
def test_the_weight_exceeds_1_exactly_where_the_policy_trails(
    rows: list[tuple[float, float, float, float]],
) -> None:
    batch = drawn_tokens(rows)
    lead = batch.advantages.sign() * (batch.logprobs - batch.ref_logprobs).detach()
    weight = OWPO.token_weight(batch)
    assert torch.equal(weight > 1, lead < 0)
    assert torch.equal(weight < 1, lead > 0)
    assert ((weight > 0.5 - 1e-12) & (weight < 2 + 1e-12)).all()


@given(rows=rows_of)
def test_the_second_moment_of_the_gradient_is_bounded(
    rows: list[tuple[float, float, float, float]],
) -> None:
    batch = drawn_tokens(rows)
    ours, plain = gradient_of(OWPO, batch), gradient_of(DAPO, batch)
    assert ours.square().sum() <= 2.0**2 * plain.square().sum() + 1e-12
    ahead = batch.advantages.sign() * (batch.logprobs - batch.ref_logprobs) > 0
    assert ours[ahead].square().sum() <= plain[ahead].square().sum()


def test_only_the_sign_of_the_advantage_enters_and_flipping_it_inverts_the_weight() -> None:
    wide = algorithms.owpo(w_min=1e-9, w_max=1e9)
    near(OWPO.token_weight(cases(advantages=[7 * a for _, _, a in CASES]))[:, 0], WEIGHTS)
    flipped = wide.token_weight(cases(advantages=[-a for _, _, a in CASES]))
    near(flipped * wide.token_weight(cases()), torch.ones(6, 1), atol=1e-12)


def potential(lead: Tensor, w_min: float, w_max: float) -> Tensor:
    """Phi(d), the integral from 0 to d of w(u) - 1: 0 at 0, nowhere above, with two kinks in w."""
    ahead, behind = -math.log(w_min), -math.log(w_max)
    smooth = 1 - (-lead).exp() - lead
    beyond = 1 - w_min - ahead + (w_min - 1) * (lead - ahead)
    below = 1 - w_max - behind + (w_max - 1) * (lead - behind)
    return torch.where(lead > ahead, beyond, torch.where(lead < behind, below, smooth))


ARMS = torch.tensor([1.3, -0.4, 0.2, -2.0, 0.9], dtype=DOUBLE)
REFERENCE = torch.tensor([-0.9, 0.9, 0.1, 0.4, 1.0], dtype=DOUBLE).log_softmax(0)
VERDICTS = torch.tensor([1.4, 0.6, -0.8, -1.1, -0.3], dtype=DOUBLE)


def test_the_update_climbs_a_locally_regularised_objective() -> None:
    """Lemma 4.1 by central differences: with the behaviour fixed (here uniform over five arms),
    the gradient of E[A log pi] + E[|A| Phi(lead)] is E[w A grad log pi].
    """

    def objective(theta: Tensor) -> Tensor:
        logprobs = theta.log_softmax(0)
        lead = VERDICTS.sign() * (logprobs - REFERENCE)
        return (VERDICTS * logprobs + VERDICTS.abs() * potential(lead, 0.5, 2.0)).mean()

    theta = ARMS.clone().requires_grad_()
    logprobs = theta.log_softmax(0)[:, None]
    lead = VERDICTS.sign() * (logprobs[:, 0].detach() - REFERENCE)
    assert (lead > math.log(2)).any(), "a weight at w_min"
    assert (lead < -math.log(2)).any(), "a weight at w_max"
    assert (lead.abs() < math.log(2)).any(), "a weight between"
    batch = tokens(
        logprobs,
        old_logprobs=logprobs.detach(),
        ref_logprobs=REFERENCE[:, None],
        advantages=VERDICTS,
        active=[True] * 5,
    )
    (gradient,) = torch.autograd.grad(-loss_of(OWPO, batch), theta)
    h = 1e-5
    steps = torch.eye(5, dtype=DOUBLE) * h
    slopes = torch.stack([objective(ARMS + s) - objective(ARMS - s) for s in steps]) / (2 * h)
    assert (gradient - slopes).abs().max() < 1e-8


def test_the_potential_is_smooth_and_nowhere_above_0() -> None:
    lead = torch.linspace(-4, 4, 4001, dtype=DOUBLE)
    phi = potential(lead, 0.5, 2.0)
    assert phi.max() <= 1e-15
    near(potential(torch.zeros(1, dtype=DOUBLE), 0.5, 2.0), [0.0])
    weight = (-lead).clamp(math.log(0.5), math.log(2.0)).exp()
    slope = torch.gradient(phi, spacing=(lead,))[0]
    assert (slope - (weight - 1))[1:-1].abs().max() < 2e-3


def test_a_symmetric_penalty_reverses_the_verifiers_direction_where_owpo_never_does() -> None:
    """k2 multiplies the gradient by 1 - beta / |A| * lead, which is negative from |A| / beta on."""
    beta = 0.5
    kl = Penalty(name="kl", coef=beta, piece=piece(sampled_kl, kind="k2"))
    symmetric = replace(DAPO, penalties=(kl,))
    leads = [-3.0, -0.5, 0.5, 1.9, 2.1, 4.0]  # A = 1, so the direction turns at 2
    policy = [[-5.0 + lead] for lead in leads]
    batch = tokens(
        policy,
        old_logprobs=policy,
        ref_logprobs=[[-5.0]] * 6,
        advantages=[1.0] * 6,
        active=[True] * 6,
    )
    factor = gradient_of(symmetric, batch)[:, 0] / gradient_of(DAPO, batch)[:, 0]
    near(factor, [1 - beta * lead for lead in leads])
    assert (factor < 0).tolist() == [False, False, False, False, True, True]
    ours = gradient_of(OWPO, batch)[:, 0] / gradient_of(DAPO, batch)[:, 0]
    near(ours, [2.0, math.exp(0.5), math.exp(-0.5), 0.5, 0.5, 0.5])
