import torch
from torch.nn.functional import logsigmoid

from jumar import algorithms

from .hand import gradient_of, loss_of, near, tokens

CHOSEN, REJECTED = [[-1.0, -1.0], [-2.0]], [[-1.2, -1.1], [-1.9]]  # l = 0.2, 0.1 and -0.1
GUIDE = [[-0.2, -1.1], [-3.9]]  # u = 1, 0 and -2


def test_by_hand() -> None:
    algorithm = algorithms.tgdpo(beta=0.5, alpha=0.5)
    batch = tokens(CHOSEN, ref_logprobs=REJECTED, teacher_logprobs=GUIDE, rewards=[1.0, 0.0])
    # weights 1 + 0.25 * 1 = 1.25, 1 and 1 - 0.25 * -2 = 1.5
    # margin 0.5 * (0.25 + 0.1 + 0.15) = 0.25; log(1 + exp(-0.25)) = log(1.778801)
    near(loss_of(algorithm, batch), 0.575939)
    # 0.5 * sigmoid(-0.25) = 0.5 * 0.437823 = 0.218912, times the weights
    near(gradient_of(algorithm, batch), [[-0.273640, -0.218912], [0.328367, 0.0]])


def test_a_token_that_the_guide_rewards_rises_more_if_chosen_and_falls_less_if_rejected() -> None:
    """The property of the paper: tokens deviate from the reference by their own rewards."""
    flat = [[-1.0, -1.0, -1.0]] * 2
    batch = tokens(
        flat, ref_logprobs=flat, teacher_logprobs=[[-0.5, -1.0, -1.5]] * 2, rewards=[1.0, 0.0]
    )
    chosen, rejected = gradient_of(algorithms.tgdpo(), batch).abs()
    assert chosen[0] > chosen[1] > chosen[2]
    assert rejected[0] < rejected[1] < rejected[2]
    near(chosen, rejected.flip(0), atol=1e-12)


def test_without_alpha_or_with_a_guide_that_is_the_reference_it_is_dpo() -> None:
    batch = tokens(CHOSEN, ref_logprobs=REJECTED, teacher_logprobs=GUIDE, rewards=[1.0, 0.0])
    blank = batch.with_columns(teacher_logprobs=batch.ref_logprobs)
    for algorithm, rows in [(algorithms.tgdpo(alpha=0.0), batch), (algorithms.tgdpo(), blank)]:
        near(loss_of(algorithm, rows), loss_of(algorithms.dpo(), batch).detach(), atol=1e-12)
        near(gradient_of(algorithm, rows), gradient_of(algorithms.dpo(), batch), atol=1e-12)


def test_a_tie_has_no_gradient() -> None:
    batch = tokens(CHOSEN, ref_logprobs=REJECTED, teacher_logprobs=GUIDE, rewards=[0.1, 0.1])
    near(loss_of(algorithms.tgdpo(), batch), 0.693147)
    assert not gradient_of(algorithms.tgdpo(), batch).any()


def test_many_pairs_are_the_released_formula() -> None:
    """In the order of the released code: a sum for all chosen minus a sum for all rejected."""
    g = torch.Generator().manual_seed(0)
    policy, reference, guide = (
        -3 * torch.rand(8, 4, generator=g, dtype=torch.float64) for _ in range(3)
    )
    order = torch.randperm(8, generator=g)
    pair, chosen = order // 2, order % 2 == 0
    batch = tokens(
        policy,
        ref_logprobs=reference,
        teacher_logprobs=guide,
        rewards=chosen.double() * 0.3,
        groups=pair.tolist(),
    )
    leaf = policy.clone().requires_grad_()
    winners, losers = (torch.argsort(pair[side]) for side in (chosen, ~chosen))
    log_ratio, reward = leaf - reference, 0.1 * (guide - reference)
    up = (0.1 * (1 + 0.5 * reward) * log_ratio)[chosen][winners].sum(-1)
    down = (0.1 * (1 - 0.5 * reward) * log_ratio)[~chosen][losers].sum(-1)
    explicit = -logsigmoid(up - down).mean()
    (gradient,) = torch.autograd.grad(explicit, leaf)
    near(loss_of(algorithms.tgdpo(), batch), explicit.detach(), atol=1e-12)
    near(gradient_of(algorithms.tgdpo(), batch), gradient, atol=1e-12)
