"""The three optimisers of CGPO: what they keep, what they reward, and what they push."""

import math

import pytest
import torch

from jumar import algorithms
from jumar.algorithm import compute_signals
from jumar.types import RolloutBatch

from .hand import gradient_of, loss_of, near, rollout, tokens

SIGMOID_HALF = 1 / (1 + math.exp(-0.5))
CRPG, CRRAFT, CODPO = (algorithms.get(f"cgpo_{n}") for n in ("crpg", "crraft", "codpo"))


def judged(**changed: object) -> RolloutBatch:
    groups = changed.pop("groups", [0, 1, 2])
    columns = {
        "correct": [True, True, False],
        "baseline_rewards": [0.5, 0.5, 0.0],
        "old_logprobs": [[-1.0], [-1.0], [-1.0]],
        "ref_logprobs": [[-1.0], [-3.0], [-1.0]],
    }
    return rollout([1.0, 1.0, 9.0], groups=groups, **{**columns, **changed})


def test_crpg_by_hand() -> None:
    signals, _ = compute_signals(CRPG, judged(), {})
    # sigmoid(0.5); the same times 1 - 2 / 5; 0 for what no judge lets pass, however high its reward
    rewards = torch.tensor([SIGMOID_HALF, SIGMOID_HALF * 0.6, 0.0], dtype=torch.float64)
    near(signals.columns["rewards"], rewards)
    near(signals.advantages[:, 0], rewards - rewards.mean())


def test_crpg_pushes_by_the_sum_over_tokens() -> None:
    batch = tokens([[-1.0, -1.0], [-1.0]], advantages=[0.5, -0.5])
    near(gradient_of(CRPG, batch), [[-0.25, -0.25], [0.25, 0.0]])


def test_beyond_the_largest_distance_nothing_is_gained() -> None:
    far = judged(ref_logprobs=[[-1.0], [-6.5], [-1.0]])
    assert CRPG.reward(far)[1] == CRRAFT.reward(far)[1] == 0
    # what the reference finds likelier than the policy is worth more to CRPG, not to CRRAFT
    back = judged(ref_logprobs=[[-0.5], [-3.0], [-1.0]])
    near(CRPG.reward(back)[0], SIGMOID_HALF * 1.1)
    near(CRRAFT.reward(back)[0], SIGMOID_HALF)


def test_a_reward_means_the_same_on_every_prompt() -> None:
    """What calibration is for: a constant per prompt in the reward model has no say."""
    one, other = (judged(baseline_rewards=[b, b, 0.0]) for b in (0.5, 100.5))
    shifted = other.with_columns(rewards=torch.tensor([101.0, 101.0, 9.0], dtype=torch.float64))
    near(CRPG.reward(one), CRPG.reward(shifted))


def test_crraft_weighs_the_best_that_passes_and_stays_near() -> None:
    rows = judged(correct=[True, False, True], groups=[0, 0, 0])
    assert CRRAFT.keep(rows).tolist() == [True, False, True]
    near(CRRAFT.reward(rows), [0.0, 0.0, 1 / (1 + math.exp(-9))])
    # the best one is too far from the reference, so the next one counts
    far = judged(
        correct=[True, False, True], groups=[0, 0, 0], ref_logprobs=[[-1.0], [-1.0], [-9.0]]
    )
    near(CRRAFT.reward(far), [SIGMOID_HALF, 0.0, 0.0])
    batch = tokens([[-1.0, -2.0], [-1.0]], advantages=[0.7, 0.0])
    near(loss_of(CRRAFT, batch), 0.7 * 3)


def test_codpo_pairs_the_best_that_passes_with_the_worst_that_does_not() -> None:
    rows = rollout(
        [0.2, 0.9, 0.8, 0.1, 0.5, 0.4, 0.6, 0.3, 0.7, 0.7],
        groups=[0, 0, 0, 0, 1, 1, 2, 2, 3, 3],
        correct=[True, True, False, False, True, True, False, False, True, True],
    )
    # where all pass, the best against the worst; where none does, or all are alike, nothing
    expected = [False, True, False, True, True, True, False, False, False, False]
    assert CODPO.keep(rows).tolist() == expected
    near(CODPO.reward(rows.select(torch.tensor(expected))), [1.0, 0.0, 1.0, 0.0])


def test_of_two_that_pass_alike_one_is_drawn() -> None:
    found = set()
    for step in range(20):
        columns = {"baseline_rewards": [0.0] * 3, "old_logprobs": [[-1.0]] * 3}
        rows = rollout(
            [1.0, 1.0, 0.0], correct=[True, True, False], step=step,
            ref_logprobs=[[-1.0]] * 3, **columns,
        )  # fmt: skip
        kept = CODPO.keep(rows).tolist()
        assert kept[2]
        assert sum(kept) == 2
        assert (CRRAFT.reward(rows) > 0).sum() == 1
        found.add(tuple(kept))
    assert len(found) == 2


def test_codpo_by_hand() -> None:
    batch = tokens(
        [[-1.0, -3.0], [-1.0]],
        ref_logprobs=[[-2.0, -3.0], [-2.0]],
        correct=[True, False],
        rewards=[1.0, 0.0],
    )
    # the log-ratios are equal: log 2; and half of nll_coef on each token of the correct one
    near(loss_of(CODPO, batch), math.log(2) + 2.0)
    near(gradient_of(CODPO, batch), [[-0.05 - 0.5, -0.05 - 0.5], [0.05, 0.0]])


@pytest.mark.parametrize("beta", [0.1, 0.5])
def test_without_the_likelihood_codpo_is_dpo_on_its_pair(beta: float) -> None:
    batch = tokens(
        [[-1.0], [-1.2]],
        ref_logprobs=[[-2.0], [-1.0]],
        correct=[True, False],
        rewards=[1.0, 0.0],
    )
    mine = algorithms.cgpo_codpo(beta=beta, nll_coef=0.0)
    assert torch.equal(gradient_of(mine, batch), gradient_of(algorithms.dpo(beta=beta), batch))
