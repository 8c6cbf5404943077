"""Every algorithm of the folder teaches a tabular policy to prefer the rewarded response."""

import pytest

from jumar import algorithms

from .toy import Toy
from .worlds import SUBJECTS, law

# all others sample their own responses
FED = {
    "sft": "demonstrations", "dft": "demonstrations",
    "dpo": "pairs", "simpo": "pairs", "tgdpo": "pairs",
}  # fmt: skip
GOAL = {"dro": 0.2}  # with tau = 1 its optimum, pi_ref exp(r) / Z, gives it e / (e + 8) = 0.25


@law
def test_learning_the_rewarded_response_becomes_the_likely_one(subject: str) -> None:
    algorithm = SUBJECTS[subject]
    toy = Toy(algorithm, rows=FED.get(algorithm.name, "sampled"))
    assert toy.target_probability() == pytest.approx(1 / 9)
    for number in range(50):
        toy.step(number)
    assert toy.target_probability() > GOAL.get(subject, 0.8)


@pytest.mark.parametrize("name", ["grpo", "owpo", "ppo", "a_star_po"])
def test_a_reward_that_says_nothing_teaches_nothing(name: str) -> None:
    """The control: with every reward equal, the rewarded response gains nothing to speak of."""
    toy = Toy(algorithms.get(name), all_right=True)
    for number in range(20):
        toy.step(number)
    assert toy.target_probability() < 0.3
