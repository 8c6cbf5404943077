"""The cases in which steps of training are compared, and what is wanted of them."""

from collections.abc import Mapping
from dataclasses import dataclass

from speed.work import Work


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What is compared, and in how many pairs of turns."""

    title: str
    work: Work
    pairs: int = 7  # at least 6, or no interval holds a median with 95 %
    wanted: float  # times as fast as TRL, whole step
    wanted_training: float | None = None


CASES: Mapping[str, Case] = {
    "short": Case(
        title="32 prompts x 8 responses, all of 32 tokens", work=Work(), pairs=12, wanted=1.0
    ),
    "long": Case(
        title="32 prompts x 8 responses, all of 128 tokens",
        work=Work(response_tokens=128),
        wanted=1.0,
    ),
    "varied": Case(
        title="32 prompts x 8 responses that end at a token with a chance of 1/64, cut at 256",
        work=Work(response_tokens=256, end_rate=1 / 64),
        pairs=6,
        wanted=4.0,
    ),
    "prompts": Case(
        title="4 prompts of 512 tokens x 16 responses, all of 64 tokens",
        work=Work(prompts=4, responses=16, prompt_tokens=512, response_tokens=64),
        wanted=3.5,
        wanted_training=3.5,
    ),
}

MEMORY = Work(  # 4,096 trained tokens under the vocabulary of Qwen2.5, behind one layer
    prompts=2, responses=4, prompt_tokens=16, response_tokens=512,
    vocabulary=151_936, hidden=512, layers=1,
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class AStarPO:
    """V* of every prompt, then some steps with one response to each."""

    title: str
    work: Work
    samples: int = 8  # of the reference for each prompt
    steps: int = 4
    pairs: int = 6
    wanted: float


A_STAR_PO = AStarPO(
    title="V* of 32 prompts from 8 samples each, then 4 steps with one response to each prompt; "
    "they end at a token with a chance of 1/64, cut at 256",
    work=Work(prompts=32, responses=1, response_tokens=256, end_rate=1 / 64),
    wanted=1.5,
)

PROFILED = ("long", "varied")

BASE = Work(prompts=8, prompt_tokens=32)  # of what grows; one thing at a time
AXES = {  # by the words for it: the field of Work that grows, and its values
    "group size": ("responses", (4, 8, 16, 32)),
    "response length": ("response_tokens", (16, 32, 64, 128)),
    "prompt length": ("prompt_tokens", (32, 64, 128, 256)),
    "vocabulary": ("vocabulary", (1024, 4096, 16_384, 65_536)),
    "parameters": ("hidden", (64, 128, 256, 512)),
}
