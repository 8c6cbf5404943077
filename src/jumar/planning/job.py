"""A recipe on a machine: what every formula reads, and the form of what it says."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from jumar import algorithms, programs
from jumar.algorithm import Algorithm
from jumar.config import RunConfig
from jumar.correction import corrected
from jumar.engines.local.provision import check_provided, needs, teachers
from jumar.engines.settings import PlanSettings
from jumar.filters import keep_all
from jumar.planning.hardware import Gpu, gpu_of
from jumar.planning.shapes import Shape, shape_of

DTYPE_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}


@dataclass(frozen=True, slots=True)
class Line:
    """An estimate, in bytes or seconds, and how it comes about."""

    name: str
    value: float
    formula: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A recipe, its algorithm, its model and a GPU."""

    config: RunConfig
    algorithm: Algorithm
    shape: Shape
    gpu: Gpu

    @property
    def plan(self) -> PlanSettings:
        """What is assumed."""
        return self.config.plan

    @property
    def dtype_bytes(self) -> int:
        """Of a weight, a gradient, an activation, a key or a value."""
        return DTYPE_BYTES[self.config.loading.dtype]

    @property
    def shards(self) -> int:
        """Over how many ranks each weight is dealt."""
        return self.plan.ranks if self.config.distributed.sharding == "full" else 1

    @property
    def adapter(self) -> int:
        """Parameters of the LoRA adapter; 0 without one."""
        rank = self.config.lora.rank
        return self.shape.adapter_parameters(rank) if rank else 0

    @property
    def sampled_by(self) -> Literal["trainer", "vllm", "server"]:
        """The trainer itself, vLLM on its GPUs (asleep in updates), or vLLM on others."""
        if self.config.engine == "local":
            return "trainer"
        return "server" if self.config.vllm.server else "vllm"

    @property
    def trained(self) -> int:
        """Parameters of the policy that have a gradient."""
        return self.adapter or self.shape.parameters

    @property
    def state_bytes(self) -> int:
        """AdamW's of one trained parameter: two moments; a copy where weights are not float32."""
        return 8 if self.dtype_bytes == 4 else 12

    @property
    def critic(self) -> int:
        """Parameters of the critic; 0 without one."""
        return self.shape.critic_parameters if self.algorithm.value_loss is not None else 0

    @property
    def compared(self) -> list[str]:
        """Of "reference" and "teacher", those that score each response."""
        return [role for role in ("reference", "teacher") if needs(self.algorithm, role)]

    @property
    def frozen(self) -> int:
        """Models beside the policy that only score. Under LoRA the initial one is its own base."""
        models = {"reference": 1, "teacher": len(teachers(self.config.teacher))}
        if self.adapter and self.config.reference in ("initial", self.config.model):
            models["reference"] = 0
        return sum(models[role] for role in self.compared)

    @property
    def longest(self) -> int:
        """Tokens of the longest prompt and response that the recipe lets through."""
        rollout = self.config.rollout
        return rollout.max_prompt_tokens + rollout.max_response_tokens

    @property
    def prompt_tokens(self) -> float:
        """Mean."""
        return self.plan.prompt_tokens or self.config.rollout.max_prompt_tokens / 2

    @property
    def response_tokens(self) -> float:
        """Mean."""
        return self.plan.response_tokens or self.config.rollout.max_response_tokens / 2

    @property
    def length(self) -> float:
        """Mean tokens of a prompt and its response."""
        return self.prompt_tokens + self.response_tokens

    @property
    def rows(self) -> int:
        """Responses that a step trains on."""
        return self.config.rollout.prompts * self.config.rollout.responses

    @property
    def samples(self) -> bool:
        """Whether the policy writes the responses itself."""
        return self.config.rollout.source == "policy"

    @property
    def sampled_per_row(self) -> float:
        """Responses that are sampled for each that is trained on: groups are filtered."""
        return 1.0 if self.algorithm.keep.fn is keep_all else 1 / self.plan.kept

    @property
    def updates(self) -> int:
        """Optimiser steps of one rollout."""
        return self.config.optimiser.minibatches * self.config.optimiser.epochs

    @property
    def passes(self) -> int:
        """Over a rollout before its updates: the policy's, the frozen models', the critic's."""
        early = self.algorithm.reward.reads | self.algorithm.advantage.reads
        old = "old_logprobs" in (self.algorithm.reads if self.updates > 1 else early)
        return int(old) + len(self.compared) + int(self.critic > 0)

    @property
    def assumptions(self) -> Mapping[str, object]:
        """Every setting of the plan, with means in place of null."""
        means = {"prompt_tokens": self.prompt_tokens, "response_tokens": self.response_tokens}
        figures = {
            name: getattr(self.gpu, name)
            for name in ("memory", "flops", "bandwidth", "link", "network")
        }
        return {**self.plan.model_dump(), **means, **figures}


def job_of(config: RunConfig) -> Job:
    """The recipe with all that it names looked up; refused where training would refuse it."""
    algorithm = algorithms.get(config.algorithm.name, **config.algorithm.settings)
    algorithm = corrected(algorithm, **dict(config.correction))
    check_provided(
        algorithm, reference=config.reference, teacher=config.teacher,
        source=config.rollout.source, made=programs.made(config.program.name),
    )  # fmt: skip
    shape, gpu = shape_of(config.model), gpu_of(config.plan)
    return Job(config=config, algorithm=algorithm, shape=shape, gpu=gpu)


def count(number: float) -> str:
    """7.62 billion, 33 million, 512."""
    for size, word in ((1e9, "billion"), (1e6, "million")):
        if number >= size:
            return f"{number / size:.3g} {word}"
    return f"{number:,.0f}"


def amount(number: float, unit: str) -> str:
    """15.2 GB, 989 TFLOP/s."""
    for size, prefix in ((1e18, "E"), (1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:.3g} {prefix}{unit}"
    return f"{number:.3g} {unit}"
