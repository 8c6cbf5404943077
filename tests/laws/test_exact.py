"""Claims of the papers that an enumerable policy settles exactly, by sums over all responses.

An expected gradient is the gradient of the pieces' own losses, one per response, weighed by the
probability of each. Nothing is sampled.
"""

import math
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from jumar import algorithms
from jumar.algorithm import Algorithm
from jumar.ops.masked import whitened
from jumar.programs.a_star_po import optimal_value
from jumar.types import TokenBatch

DOUBLE = torch.float64
ARMS = 6


def drawn(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=DOUBLE)


REFERENCE = drawn(ARMS, seed=0).log_softmax(0)  # nats, of a bandit's arms: responses of one token
REWARD = torch.tensor([1.0, 0.0, 0.0, 1.0, 0.0, 0.0], dtype=DOUBLE)


def arms(logprobs: Tensor, **columns: Tensor) -> TokenBatch:
    """Every arm once, as a response of one token."""
    made = {
        n: c[:, None] if n.endswith(("logprobs", "advantages")) else c for n, c in columns.items()
    }
    return TokenBatch.build(
        mask=torch.ones(len(logprobs), 1, dtype=torch.bool),
        logprobs=logprobs[:, None],
        group_ids=torch.zeros(len(logprobs), dtype=torch.long),
        **made,
    )


def expected_gradient(
    algorithm: Algorithm, batch: TokenBatch, sampler: Tensor, theta: Tensor
) -> Tensor:
    """Of the mean loss of responses drawn from `sampler`."""
    losses = algorithm.surrogate(batch).view(len(sampler))
    return torch.autograd.grad((sampler.detach() * losses).sum(), theta)[0]


# --- A*-PO


def regression(logprobs: Tensor, reward: Tensor, value: float, reference: Tensor) -> TokenBatch:
    return arms(
        logprobs,
        ref_logprobs=reference,
        rewards=reward,
        optimal_values=torch.full_like(reward, value),
    )


@pytest.mark.parametrize("value", [-3.0, 0.0, 0.4, 10.0])
def test_on_policy_a_star_po_descends_the_kl_regularised_reward_whatever_the_value(
    value: float,
) -> None:
    """E[grad L] = -2 beta grad (E[r] - beta KL(pi || pi_ref)): V* lowers variance, and no more."""
    beta = 0.3
    theta = drawn(ARMS, seed=1).requires_grad_()
    logprobs = theta.log_softmax(0)
    objective = (logprobs.exp() * (REWARD - beta * (logprobs - REFERENCE))).sum()
    (uphill,) = torch.autograd.grad(objective, theta)
    logprobs = theta.log_softmax(0)
    batch = regression(logprobs, REWARD, value, REFERENCE)
    downhill = expected_gradient(algorithms.a_star_po(beta=beta), batch, logprobs.exp(), theta)
    torch.testing.assert_close(downhill, -2 * beta * uphill, rtol=0, atol=1e-12)


def log_linear(theta: Tensor, features: Tensor) -> Tensor:
    """[ARMS] nats: pi proportional to exp(theta . features)."""
    return (features @ theta).log_softmax(0)


def realisable(beta: float, star: Tensor, features: Tensor) -> Tensor:
    """The rewards, up to a constant, for which the log-linear policy `star` is the optimum."""
    return beta * (log_linear(star, features) - REFERENCE)


def fisher(theta: Tensor, features: Tensor) -> Tensor:
    """Covariance of the features under the policy."""
    p = log_linear(theta, features).exp()
    centred = features - p @ features
    return centred.T @ (p[:, None] * centred)


@pytest.mark.parametrize("seed", range(5))
def test_for_a_log_linear_policy_the_gradient_is_the_fisher_matrix_times_the_distance(
    seed: int,
) -> None:
    """E[grad L] = 2 beta^2 F(theta) (theta - theta*): it points away from theta* in F's metric."""
    beta, features = 0.3, drawn(ARMS, 3, seed=10 + seed)
    theta, star = drawn(3, seed=20 + seed).requires_grad_(), drawn(3, seed=30 + seed)
    logprobs = log_linear(theta, features)
    batch = regression(logprobs, realisable(beta, star, features) + 0.7, 0.7, REFERENCE)
    found = expected_gradient(algorithms.a_star_po(beta=beta), batch, logprobs.exp(), theta)
    away = 2 * beta**2 * fisher(theta.detach(), features) @ (theta.detach() - star)
    torch.testing.assert_close(found, away, rtol=0, atol=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_gradient_descent_on_a_star_po_converges_at_the_last_iterate(seed: int) -> None:
    """As F stays of full rank: every step comes nearer to theta*, with one fixed step size."""
    beta, features = 0.3, drawn(ARMS, 3, seed=10 + seed)
    theta, star = torch.zeros(3, dtype=DOUBLE, requires_grad=True), 0.5 * drawn(3, seed=30 + seed)
    reward = realisable(beta, star, features)
    largest = torch.cdist(features, features).square().max() / 4  # no eigenvalue of F is above
    distances = []
    for _ in range(400):
        logprobs = log_linear(theta, features)
        batch = regression(logprobs, reward, 0.0, REFERENCE)
        slope = expected_gradient(algorithms.a_star_po(beta=beta), batch, logprobs.exp(), theta)
        with torch.no_grad():
            theta -= slope / (2 * beta**2 * largest)
            distances.append(float((theta - star).norm()))
    assert all(after < before for before, after in pairwise(distances) if before > 1e-12)
    assert distances[-1] < 0.02 * distances[0]


def value_errors(p: float, samples: int, beta: float = 0.5) -> tuple[float, float]:
    """Mean error and its second moment of V* from so many verdicts, at the success rate p."""
    exact = beta * math.log(1 + p * math.expm1(1 / beta))
    mean = square = 0.0
    for right in range(samples + 1):
        chance = math.comb(samples, right) * p**right * (1 - p) ** (samples - right)
        verdicts = torch.tensor([1.0] * right + [0.0] * (samples - right), dtype=DOUBLE)
        error = float(optimal_value(verdicts, beta=beta)) - exact
        mean, square = mean + chance * error, square + chance * error**2
    return mean, square


@pytest.mark.parametrize("p", [0.1, 0.3, 0.7])
def test_the_error_of_v_star_falls_with_the_number_of_samples(p: float) -> None:
    """Bias and mean square fall like 1 / N, the latter to less than beta^2 (1 - p) / (p N)."""
    beta = 0.5
    biases, squares = zip(*(value_errors(p, n) for n in (16, 64, 256)), strict=True)
    assert all(bias < 0 for bias in biases), "V* is concave in p"
    for (b, s), (b4, s4) in pairwise(zip(biases, squares, strict=True)):
        assert 0.2 < b4 / b < 0.3
        assert 0.2 < s4 / s < 0.3
    gain = math.expm1(1 / beta)
    slope = beta * gain / (1 + p * gain)  # of V* in p
    assert squares[-1] * 256 == pytest.approx(slope**2 * p * (1 - p), rel=0.1)
    assert slope < beta / p
    assert squares[-1] < beta**2 * (1 - p) / p / 256 * 1.1


def test_where_the_reference_hardly_ever_succeeds_few_samples_say_nothing() -> None:
    """No bound below on pass@1, no bound on the samples: at p = 1/1000 eight see nothing at all."""
    exact = 0.5 * math.log(1 + 0.001 * math.expm1(2.0))
    bias, square = value_errors(0.001, 8)
    assert (1 - 0.001) ** 8 > 0.99
    assert abs(bias) < exact
    assert math.sqrt(square) > 5 * exact, "the error is many times what is estimated"
    often = 0.5 * math.log(1 + 0.3 * math.expm1(2.0))
    assert math.sqrt(value_errors(0.3, 8)[1]) < 0.4 * often


# --- ERPD


def test_at_the_sampling_policy_the_student_descends_its_kl_to_the_teacher() -> None:
    """E[s grad log pi] = -grad KL(pi || pi_E), s = log pi_E - log pi_old; whitening scales it."""
    teacher = drawn(ARMS, seed=3).log_softmax(0)
    theta = drawn(ARMS, seed=2).requires_grad_()
    logprobs = theta.log_softmax(0)
    (away,) = torch.autograd.grad((logprobs.exp() * (logprobs - teacher)).sum(), theta)
    old = logprobs.detach()
    signal = teacher - old
    mean = (old.exp() * signal).sum()
    std = (old.exp() * (signal - mean).square()).sum().sqrt()
    for push, scale in [(signal, 1.0), ((signal - mean) / std, 1 / float(std))]:
        logprobs = theta.log_softmax(0)
        batch = arms(logprobs, old_logprobs=old, advantages=push)
        found = expected_gradient(algorithms.erpd_student(), batch, old.exp(), theta)
        torch.testing.assert_close(found, scale * away, rtol=0, atol=1e-12)


def test_whitening_over_counted_samples_is_that_of_the_distribution() -> None:
    """Counts in proportion to the policy, 1:2:3:4; up to n - 1 in place of n."""
    counts = torch.tensor([1, 2, 3, 4]) * 100
    signal = torch.tensor([0.5, -1.0, 0.2, 0.1], dtype=DOUBLE)
    p = counts / counts.sum().double()
    mean = (p * signal).sum()
    std = (p * (signal - mean).square()).sum().sqrt()
    column = signal.repeat_interleave(counts)[:, None]
    made = whitened(column, torch.ones_like(column, dtype=torch.bool))
    expected = ((signal - mean) / std).repeat_interleave(counts)[:, None]
    torch.testing.assert_close(made, expected, rtol=1e-3, atol=0)


# --- TRPO: what the surrogate of PPO and ERPD promises about the true objective


class Chain:
    """A random Markov decision process, solved exactly."""

    def __init__(self, seed: int, states: int = 4, actions: int = 3, gamma: float = 0.8) -> None:
        self.gamma = gamma
        self.moves = drawn(states, actions, states, seed=seed).softmax(-1)
        self.rewards = drawn(states, actions, seed=100 + seed)
        self.start = drawn(states, seed=200 + seed).softmax(0)

    def value(self, policy: Tensor) -> Tensor:
        """[S]: V of the policy [S, A]."""
        moves = torch.einsum("sa,sax->sx", policy, self.moves)
        eye = torch.eye(len(moves), dtype=DOUBLE)
        return torch.linalg.solve(eye - self.gamma * moves, (policy * self.rewards).sum(1))

    def objective(self, policy: Tensor) -> Tensor:
        return self.start @ self.value(policy)

    def visits(self, policy: Tensor) -> Tensor:
        """[S]: discounted visits, not normalised."""
        moves = torch.einsum("sa,sax->sx", policy, self.moves)
        eye = torch.eye(len(moves), dtype=DOUBLE)
        return torch.linalg.solve(eye - self.gamma * moves.T, self.start)

    def advantage(self, policy: Tensor) -> Tensor:
        """[S, A]"""
        value = self.value(policy)
        return self.rewards + self.gamma * self.moves @ value - value[:, None]

    def surrogate(self, new: Tensor, old: Tensor) -> Tensor:
        """J(old) less our clipped loss without its clip, over all pairs of state and action."""
        ppo = algorithms.ppo(clip_low=1.0, clip_high=1e9)
        batch = arms(
            new.log().flatten(),
            old_logprobs=old.log().flatten(),
            advantages=self.advantage(old).flatten(),
        )
        weight = (self.visits(old)[:, None] * old).flatten()
        return self.objective(old) - (weight * ppo.surrogate(batch)[:, 0]).sum()


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("size", [0.01, 0.3, 3.0])
def test_the_surrogate_is_off_by_at_most_trpos_bound(seed: int, size: float) -> None:
    """|J(pi) - L_old(pi)| <= 4 eps gamma / (1 - gamma)^2 TV^2, and TV^2 <= KL, each its maximum
    over states; eps is the largest |A|. Schulman et al. 2015, theorem 1, of which ERPD reminds.
    """
    chain = Chain(seed)
    logits = drawn(4, 3, seed=300 + seed)
    old, new = logits.softmax(-1), (logits + size * drawn(4, 3, seed=400 + seed)).softmax(-1)
    total_variation = ((new - old).abs().sum(-1) / 2).max()
    kl = (old * (old / new).log()).sum(-1).max()
    constant = 4 * chain.advantage(old).abs().max() * chain.gamma / (1 - chain.gamma) ** 2
    error = (chain.objective(new) - chain.surrogate(new, old)).abs()
    assert 0 < error <= constant * total_variation**2 <= constant * kl


@pytest.mark.parametrize("seed", range(5))
def test_the_surrogate_has_the_objectives_value_and_gradient_where_they_meet(seed: int) -> None:
    """So its error falls with the square of the step: that is why a trust region helps."""
    chain, logits = Chain(seed), drawn(4, 3, seed=300 + seed)
    old, direction = logits.softmax(-1), drawn(4, 3, seed=400 + seed)
    theta = logits.clone().requires_grad_()
    pair = chain.objective(theta.softmax(-1)), chain.surrogate(theta.softmax(-1), old)
    torch.testing.assert_close(*pair, rtol=0, atol=1e-12)
    slopes = [torch.autograd.grad(value, theta)[0] for value in pair]
    torch.testing.assert_close(*slopes, rtol=0, atol=1e-12)

    def error(size: float) -> float:
        new = (logits + size * direction).softmax(-1)
        return float((chain.objective(new) - chain.surrogate(new, old)).abs())

    assert error(0.01) / error(0.001) == pytest.approx(100, rel=0.1)
