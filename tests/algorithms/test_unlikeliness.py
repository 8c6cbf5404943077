import torch

from jumar import algorithms
from jumar.algorithms.unlikeliness import unlikeliness_reward

from .hand import advantages, gradient_of, near, rollout, tokens

OLD = [[-1.0, -1.0], [-3.0, -3.0], [-2.0, -2.0], [-0.5, -0.5]]


def test_by_hand() -> None:
    # by mean log-prob the ranks are 2, 0, 1, 3 of 4: 1 - 0.25 * rank / 4
    batch = rollout([1.0, 1.0, 0.0, 1.0], lengths=[2] * 4, old_logprobs=OLD)
    near(unlikeliness_reward(batch, beta=0.25), [0.875, 1.0, 0.0, 0.8125])


def test_the_rarest_right_answer_gains_most_and_the_likeliest_least() -> None:
    batch = rollout([1.0, 1.0, 0.0, 1.0], lengths=[2] * 4, old_logprobs=OLD)
    a = advantages(algorithms.unlikeliness(), batch)[:, 0]
    assert a[1] > a[0] > a[3] > 0 > a[2]


def test_a_long_response_is_judged_by_its_mean() -> None:
    old = [[-1.0, None, None], [-0.9, -0.9, -0.9]]
    batch = rollout([1.0, 1.0], lengths=[1, 3], old_logprobs=old)
    near(unlikeliness_reward(batch, beta=0.5), [1.0, 0.75])


def test_without_the_penalty_it_is_grpo() -> None:
    batch = rollout([1.0, 0.0, 1.0, 0.0], lengths=[2] * 4, old_logprobs=OLD)
    plain = algorithms.grpo()
    torch.testing.assert_close(
        advantages(algorithms.unlikeliness(beta=0.0), batch), advantages(plain, batch)
    )
    assert algorithms.unlikeliness().surrogate == plain.surrogate


def test_groups_of_one_kind_are_dropped_so_that_rank_alone_teaches_nothing() -> None:
    batch = rollout([1.0, 1.0, 1.0, 0.0], groups=[0, 0, 1, 1], old_logprobs=[[-1.0]] * 4)
    assert algorithms.unlikeliness().keep(batch).tolist() == [False, False, True, True]


def test_the_reward_of_a_group_is_the_released_codes() -> None:
    g = torch.Generator().manual_seed(0)
    old = -3 * torch.rand(8, 4, generator=g, dtype=torch.float64)
    right = (torch.rand(8, generator=g) < 0.5).double()
    batch = rollout(right.tolist(), lengths=[4] * 8, old_logprobs=old)
    place = torch.argsort(torch.argsort(old.mean(dim=1))) / 8
    near(unlikeliness_reward(batch, beta=0.25), right * (1 - 0.25 * place))


def test_responses_that_are_as_likely_are_worth_the_same() -> None:
    batch = rollout([1.0, 1.0], lengths=[1, 1], old_logprobs=[[-1.0], [-1.0]])
    near(unlikeliness_reward(batch, beta=0.25), [1.0, 1.0])


def test_every_token_counts_the_same_as_in_the_released_run() -> None:
    old = [[-1.0, -1.0, -1.0], [-1.0, None, None]]
    batch = tokens(old, old_logprobs=old, ref_logprobs=old, advantages=[1.0, -1.0])
    gradient = gradient_of(algorithms.unlikeliness(), batch)
    near(gradient, [[-0.25, -0.25, -0.25], [0.25, 0, 0]])
