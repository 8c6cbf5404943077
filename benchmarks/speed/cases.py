"""The cases in which steps of training are compared, and what is wanted of them."""

from collections.abc import Mapping
from dataclasses import dataclass

from speed.work import Work


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What is compared, and in how many pairs of turns."""

    title: str
    work: Work
    pairs: int = 10
    wanted: float  # times as fast as TRL, whole step
    wanted_training: float | None = None


CASES: Mapping[str, Case] = {
    "short": Case(title="32 prompts x 8 responses, all of 32 tokens", work=Work(), wanted=1.0),
    "long": Case(
        title="32 prompts x 8 responses, all of 128 tokens",
        work=Work(response_tokens=128),
        wanted=1.0,
    ),
    "varied": Case(
        title="32 prompts x 8 responses that end at a token with a chance of 1/64, cut at 256",
        work=Work(response_tokens=256, end_rate=1 / 64),
        wanted=4.0,
    ),
    "prompts": Case(
        title="4 prompts of 512 tokens x 16 responses, all of 64 tokens",
        work=Work(prompts=4, responses=16, prompt_tokens=512, response_tokens=64),
        wanted=3.5,
        wanted_training=3.5,
    ),
}
