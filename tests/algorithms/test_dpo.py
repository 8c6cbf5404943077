import torch
from torch.nn.functional import logsigmoid

from jumar import algorithms

from .hand import gradient_of, loss_of, near, tokens

CHOSEN, REJECTED = [[-1.0, -1.0], [-2.0]], [[-1.2, -1.1], [-1.9]]  # log-ratios 0.3 and -0.1


def test_by_hand() -> None:
    algorithm = algorithms.dpo(beta=0.5)
    batch = tokens(CHOSEN, ref_logprobs=REJECTED, rewards=[1.0, 0.0])
    # margin 0.5 * (0.3 + 0.1) = 0.2; log(1 + exp(-0.2)) = log(1.818731)
    near(loss_of(algorithm, batch), 0.598139)
    # 0.5 * sigmoid(-0.2) = 0.5 * 0.450166, up for the chosen and down for the rejected
    near(gradient_of(algorithm, batch), [[-0.225083, -0.225083], [0.225083, 0.0]])


def test_which_is_chosen_is_said_by_the_reward_and_not_by_the_order() -> None:
    algorithm = algorithms.dpo(beta=0.5)
    batch = tokens(CHOSEN, ref_logprobs=REJECTED, rewards=[-3.0, 7.0])
    # margin -0.2: log(1 + exp(0.2)) = log(2.221403)
    near(loss_of(algorithm, batch), 0.798139)


def test_a_tie_has_no_gradient() -> None:
    batch = tokens(CHOSEN, ref_logprobs=REJECTED, rewards=[0.1, 0.1])
    near(loss_of(algorithms.dpo(), batch), 0.693147)
    assert not gradient_of(algorithms.dpo(), batch).any()


def test_many_pairs_are_the_explicit_formula() -> None:
    g = torch.Generator().manual_seed(0)
    policy, reference = (-torch.rand(8, 4, generator=g, dtype=torch.float64) for _ in range(2))
    order = torch.randperm(8, generator=g)
    pair, chosen = order // 2, order % 2 == 0
    batch = tokens(
        policy, ref_logprobs=reference, rewards=chosen.double() * 0.3, groups=pair.tolist()
    )
    leaf = policy.clone().requires_grad_()
    log_ratio = (leaf - reference).sum(dim=1)
    winners, losers = torch.empty(4, dtype=torch.long), torch.empty(4, dtype=torch.long)
    winners[pair[chosen]], losers[pair[~chosen]] = (
        torch.nonzero(chosen)[:, 0],
        torch.nonzero(~chosen)[:, 0],
    )
    loss = -logsigmoid(0.1 * (log_ratio[winners] - log_ratio[losers])).mean()
    (gradient,) = torch.autograd.grad(loss, leaf)
    near(loss_of(algorithms.dpo(), batch), loss.detach(), atol=1e-12)
    near(gradient_of(algorithms.dpo(), batch), gradient, atol=1e-12)
