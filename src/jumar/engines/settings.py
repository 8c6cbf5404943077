"""The settings of an engine, in the groups in which a recipe writes them.

An unknown key is an error. Every field's comment says its unit; the defaults suit a model of some
billion parameters, and recipes for small ones say what they change.
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class Settings(BaseModel):
    """Frozen, and strict about names."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ModelSettings(Settings):
    """How the policy, the reference, the teacher and the critic are loaded."""

    dtype: Literal["float32", "bfloat16", "float16"] = "float32"  # trained in float32 copies
    device: str = "auto"  # cuda where there is one, else cpu
    attention: Literal["sdpa", "eager"] = "sdpa"
    gradient_checkpointing: bool = False
    threads: int | None = Field(default=None, ge=1)  # of the CPU; results are exact per count
    system_prompt: str | None = None  # instead of the task's
    chat_template: str | None = None  # Jinja text instead of the tokenizer's


class LoraSettings(Settings):
    """Train a low-rank adapter beside the model's own weights, which stay as they are (peft).

    There is no dropout: a dropped adapter is another distribution than the one that was sampled.
    """

    rank: int | None = Field(default=None, ge=1)  # null: every weight is trained
    alpha: int = Field(default=32, ge=1)  # the adapter counts alpha / rank times
    target_modules: str | tuple[str, ...] = "all-linear"  # or names of layers: [q_proj, v_proj]


class RolloutSettings(Settings):
    """What is sampled in one step, and from which distribution."""

    source: Literal["policy", "dataset"] = "policy"  # dataset: the task's own responses or pairs
    prompts: int = Field(default=64, ge=1)  # prompts per step
    only_prompts: int | None = Field(default=None, ge=1)  # train on the first so many of the split
    responses: int = Field(default=8, ge=1)  # responses per prompt
    temperature: float = Field(default=1.0, gt=0)
    top_p: float = Field(default=1.0, gt=0, le=1)
    top_k: int = Field(default=0, ge=0)  # 0 is off
    max_prompt_tokens: int = Field(default=1024, ge=1)
    max_response_tokens: int = Field(default=1024, ge=1)
    max_refills: int = Field(default=10, ge=0)  # rounds to replace groups that `keep` dropped
    rows: int = Field(default=512, ge=1)  # sampled at once
    control: Literal["none", "shuffled_rewards"] = "none"  # a control must not learn


class OptimiserSettings(Settings):
    """AdamW, and how one rollout is cut into optimiser steps and micro-batches."""

    learning_rate: float = Field(default=1e-6, gt=0)
    critic_learning_rate: float = Field(default=1e-5, gt=0)
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = Field(default=1e-8, gt=0)
    weight_decay: float = Field(default=0.0, ge=0)
    max_grad_norm: float = Field(default=1.0, gt=0)
    warmup_steps: int = Field(default=0, ge=0)  # linear from 0, in steps of the run
    decay: Literal["constant", "linear", "cosine"] = "constant"
    decay_steps: int | None = Field(default=None, ge=1)  # needed by a decay; then 0
    minibatches: int = Field(default=1, ge=1)  # optimiser steps in one pass over a rollout
    epochs: int = Field(default=1, ge=1)  # passes over a rollout
    micro_batch_tokens: int = Field(default=16384, ge=1)  # tokens in one forward; memory, not maths


class CorrectionSettings(Settings):
    """Weights against a sampler that computes otherwise than the trainer; docs/correction.md."""

    kind: Literal["none", "truncated", "masked"] = "none"
    level: Literal["token", "response", "geometric"] = "token"
    ratio_min: float = Field(default=0.0, ge=0, le=1)  # trainer over sampler; 0 is no bound
    ratio_max: float = Field(default=2.0, ge=1)


class ScoringSettings(Settings):
    """The processes that run the verifier. A score over its budget is counted, never waited for."""

    workers: int = Field(default=2, ge=1)
    cpu_seconds: float = Field(default=5.0, gt=0)  # processor time of one score
    wall_seconds: float = Field(default=60.0, gt=0)  # for one that sleeps
    partial_credit: bool = False  # learn from the score instead of right or wrong


class EvaluationSettings(Settings):
    """Held-out prompts: some of validation as training goes on, the test split at its two ends."""

    every: int = Field(default=10, ge=0)  # steps; 0 is never
    prompts: int = Field(default=128, ge=1)  # of the validation split
    samples: int = Field(default=1, ge=1)  # per prompt
    final_prompts: int = Field(default=1000, ge=0)  # of the test split; 0 is none
    final_samples: int = Field(default=8, ge=1)
    temperature: float = Field(default=1.0, gt=0)
    top_p: float = Field(default=1.0, gt=0, le=1)


class JudgeSettings(Settings):
    """A second opinion on what the verifier refused, in evaluations only; it changes no score."""

    url: str | None = None  # of an OpenAI-compatible endpoint, as https://host/v1; null: none
    model: str | None = None  # its name there
    key_variable: str | None = None  # the environment variable with the key, which is kept nowhere
    temperature: float | None = Field(default=0.0, ge=0)  # null is the endpoint's own
    seconds: float = Field(default=60.0, gt=0)  # for one reply
    retries: int = Field(default=2, ge=0)
    workers: int = Field(default=4, ge=1)  # questions at a time


class CheckpointSettings(Settings):
    """What a crash may cost, and what the disk may hold."""

    every: int = Field(default=10, ge=1)  # steps
    keep_last: int = Field(default=2, ge=1)
    keep_best: int = Field(default=1, ge=0)
    rollouts_every: int = Field(default=1, ge=0)  # steps whose responses are written; 0 is none
    token_groups: int = Field(default=1, ge=0)  # groups of such a step with numbers for each token


class DistributedSettings(Settings):
    """Several processes, as torchrun or `accelerate launch` starts them; nothing changes for one.

    How many there are is theirs to say, and no result depends on it but for rounding.
    """

    sharding: Literal["none", "full"] = "none"  # full: weights are dealt over processes by FSDP2
    deadline: float = Field(default=30.0, gt=0)  # minutes that a process waits for the others


class DiagnosticsSettings(Settings):
    """What is measured on demand, because it costs samples of its own; 0 is never."""

    distance_every: int = Field(default=0, ge=0)  # steps; KL to the start, both ways, and entropy
    alignment_every: int = Field(default=0, ge=0)  # steps; the gradient alignment score
    prompts: int = Field(default=16, ge=2)  # of the validation split


class PlanSettings(Settings):
    """What `jumar plan` assumes: the machine, and shares that only a measurement could tell.

    Training reads none of it, and no run writes it down. docs/planning.md has the formulas.
    """

    gpu: str = "h100"  # a100, h100, h200
    memory: float | None = Field(default=None, gt=0)  # bytes of one GPU; null: as published
    flops: float | None = Field(default=None, gt=0)  # bfloat16, per second
    bandwidth: float | None = Field(default=None, gt=0)  # of its memory, bytes per second
    link: float | None = Field(default=None, gt=0)  # within a node, one way, bytes per second
    network: float | None = Field(default=None, gt=0)  # between nodes, bytes per second and GPU
    ranks: int = Field(default=8, ge=1)  # GPUs that train
    node: int = Field(default=8, ge=1)  # GPUs of one node
    rollout_ranks: int = Field(default=8, ge=1)  # GPUs of a vLLM server
    tensor_parallel: int = Field(default=1, ge=1)  # GPUs of one vLLM replica
    prompt_tokens: float | None = Field(default=None, gt=0)  # mean; null: half of the limit
    response_tokens: float | None = Field(default=None, gt=0)  # mean; null: half of the limit
    kept: float = Field(default=0.5, gt=0, le=1)  # of the groups, where the algorithm filters them
    train_prompts: int | None = Field(default=None, ge=1)  # of the task, for programs over all
    usable_memory: float = Field(default=0.9, gt=0, le=1)  # the rest is CUDA's and fragments
    mfu: float = Field(default=0.35, gt=0, le=1)  # of the FLOP/s, in forward and backward passes
    bandwidth_share: float = Field(default=0.6, gt=0, le=1)  # of the memory's, while decoding
    network_share: float = Field(default=0.7, gt=0, le=1)  # of links and network
    overhead: float = Field(default=30.0, ge=0)  # seconds of a step that no formula knows
    rollout_tokens_per_second: float | None = Field(default=None, gt=0)  # measured, per GPU
    update_tokens_per_second: float | None = Field(default=None, gt=0)  # measured, per GPU


class VllmSettings(Settings):
    """Where the engine `vllm` draws responses, and when it is given up."""

    server: str | None = None  # as http://127.0.0.1:8000; null: vLLM is started by the run
    arguments: dict[str, Any] = {}  # of vllm.LLM, where the run starts it
    exchange: str | None = None  # directory for weights that the server sees too; null: /dev/shm
    patience: float = Field(default=20.0, gt=0)  # seconds without a token; then it hangs
    tolerance: float | None = Field(default=None, gt=0)  # nats per token; null: by the dtype


class EngineSettings(Settings):
    """All of them."""

    loading: ModelSettings = ModelSettings()
    lora: LoraSettings = LoraSettings()
    rollout: RolloutSettings = RolloutSettings()
    optimiser: OptimiserSettings = OptimiserSettings()
    correction: CorrectionSettings = CorrectionSettings()
    scoring: ScoringSettings = ScoringSettings()
    evaluation: EvaluationSettings = EvaluationSettings()
    judge: JudgeSettings = JudgeSettings()
    checkpoints: CheckpointSettings = CheckpointSettings()
    diagnostics: DiagnosticsSettings = DiagnosticsSettings()
    distributed: DistributedSettings = DistributedSettings()
    vllm: VllmSettings = VllmSettings()
    seed: int = 0
