"""The record of a run: what a recipe may say, and which values fit together."""

from typing import Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, field_serializer, field_validator, model_validator

from jumar.config.choices import AlgorithmConfig, ProgramConfig
from jumar.engines.settings import (
    CheckpointSettings,
    CorrectionSettings,
    DiagnosticsSettings,
    DistributedSettings,
    EngineSettings,
    EvaluationSettings,
    JudgeSettings,
    LoraSettings,
    ModelSettings,
    OptimiserSettings,
    PlanSettings,
    RolloutSettings,
    ScoringSettings,
    Settings,
    VllmSettings,
)
from jumar.errors import ConfigurationError
from jumar.tasks.task import Task
from jumar.verifiers.score import VerifierSpec


class RewardFunction(Settings):
    """A reward of your own beside the task's verifier: `module:function` or `file.py:function`."""

    function: str = Field(pattern=r"^.+:\w+$")
    weight: float = 1.0
    name: str | None = None  # the function's own

    @property
    def label(self) -> str:
        """Under which it is logged."""
        return self.name or self.function.rpartition(":")[2]


class TrackingSettings(Settings):
    """What the trackers call the run; where they are is in their own environment variables."""

    project: str = Field(default="jumar", min_length=1)  # MLflow: experiment; TensorBoard has none
    name: str | None = None  # the run directory's own


class RunConfig(Settings):
    """Everything that a run is, but for its directory."""

    model: str = Field(default="tiny", min_length=1)  # tiny, a directory or a hub name
    task: str = Field(min_length=1)  # gym:NAME, gsm8k, math, file:PATH.jsonl, module:function
    algorithm: AlgorithmConfig
    program: ProgramConfig = ProgramConfig.model_validate("plain")
    engine: Literal["local", "vllm"] = "local"  # vllm draws the responses; training is local
    reference: str | None = "initial"  # or a model directory, a checkpoint, a run directory
    teacher: str | dict[str, str] | None = None  # several: by the `teacher` column of each row
    rewards: tuple[RewardFunction, ...] = ()
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
    tracker: tuple[Literal["tensorboard", "wandb", "trackio", "mlflow"], ...] = ()  # `none`
    tracking: TrackingSettings = TrackingSettings()
    plan: PlanSettings = Field(default=PlanSettings(), exclude=True)  # of `jumar plan` alone
    seed: int = Field(default=0, ge=0, lt=2**63)

    @field_validator("tracker", mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:
        """`none`, a name, or a list of names."""
        names = [] if value == "none" else [value] if isinstance(value, str) else value
        return tuple(names) if isinstance(names, list) else names

    @field_serializer("tracker")
    def _unlisted(self, value: tuple[str, ...]) -> str | list[str]:
        return list(value) if len(value) > 1 else value[0] if value else "none"

    def engine_settings(self) -> EngineSettings:
        """The groups that the engine reads."""
        return EngineSettings(**{name: getattr(self, name) for name in EngineSettings.model_fields})

    def verifier(self, task: Task) -> VerifierSpec:
        """The task's own verifier, and the recipe's rewards beside it where there are any."""
        functions = [
            {
                "name": reward.label,
                "weight": reward.weight,
                "verifier": {"kind": "function", "options": {"target": reward.function}},
            }
            for reward in self.rewards
        ]
        own = {"name": "task", "weight": 1.0, "verifier": task.verifier.to_dict()}
        parts = functions if task.verifier.kind == "none" else [own, *functions]
        return VerifierSpec("weighted", {"parts": parts}) if functions else task.verifier

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        checks = (
            _decay, _stored_rows, _correction, _rewards, _minibatches, _prompts, _best_swap, _judge,
            _lora, _alignment, _vllm,
        )  # fmt: skip
        for check in checks:
            check(self)
        return self


def _decay(config: RunConfig) -> None:
    optimiser, total = config.optimiser, config.program.total_steps
    if optimiser.decay == "constant":
        if optimiser.decay_steps is not None:
            raise ConfigurationError(
                f"`optimiser.decay_steps` is {optimiser.decay_steps}, but `optimiser.decay` is "
                "constant, so nothing would decay. Set optimiser.decay to linear or cosine, or "
                "leave decay_steps out."
            )
    elif optimiser.decay_steps is None:
        raise ConfigurationError(
            f"`optimiser.decay` is {optimiser.decay}, but `optimiser.decay_steps` is not set, and "
            f"a decay needs its length. Set optimiser.decay_steps={total} to decay over this run."
        )
    elif optimiser.decay_steps < total:
        raise ConfigurationError(
            f"`optimiser.decay_steps` is {optimiser.decay_steps}, but `{config.program.name}` "
            f"trains for {total} steps, and after the decay the learning rate is 0. Set "
            f"optimiser.decay_steps={total}, or train for fewer steps."
        )


def _stored_rows(config: RunConfig) -> None:
    rollout = config.rollout
    if rollout.source == "dataset" and rollout.control == "shuffled_rewards":
        raise ConfigurationError(
            "`rollout.control` is shuffled_rewards, but `rollout.source` is dataset: the control "
            "exchanges rewards between sampled responses, and stored rows are learned as they are. "
            "Set rollout.control=none or rollout.source=policy."
        )
    if rollout.source == "dataset" and config.rewards:
        raise ConfigurationError(
            "`rewards` names functions, but `rollout.source` is dataset: stored rows bring their "
            "rewards, so the functions would never be called. Leave rewards out or set "
            "rollout.source=policy."
        )


def _correction(config: RunConfig) -> None:
    kind = config.correction.kind
    if kind != "none" and config.rollout.source == "dataset":
        raise ConfigurationError(
            f"`correction.kind` is {kind}, but `rollout.source` is dataset, and a correction needs "
            "the log-probs that rows were sampled with, which nobody recorded. Set "
            "correction.kind=none or rollout.source=policy."
        )


def _rewards(config: RunConfig) -> None:
    labels = [reward.label for reward in config.rewards]
    if labels and not config.scoring.partial_credit:
        raise ConfigurationError(
            "`rewards` names functions, but `scoring.partial_credit` is false, so only right and "
            "wrong would count and the functions would change nothing. Leave one of the two out."
        )
    twice = next((x for x in ["task", *labels] if ["task", *labels].count(x) > 1), None)
    if twice is not None:
        raise ConfigurationError(
            f"Two of `rewards` are called {twice} (task is the task's own verifier), and each "
            "needs a name of its own, to be logged apart. Give one of them another `name`."
        )


def _minibatches(config: RunConfig) -> None:
    if config.optimiser.minibatches > config.rollout.prompts:
        raise ConfigurationError(
            f"`optimiser.minibatches` is {config.optimiser.minibatches}, but `rollout.prompts` is "
            f"{config.rollout.prompts}, and the responses to a prompt stay together, so some would "
            "be empty. Set optimiser.minibatches to at most rollout.prompts."
        )


def _prompts(config: RunConfig) -> None:
    only, prompts = config.rollout.only_prompts, config.rollout.prompts
    if only is not None and only < prompts:
        raise ConfigurationError(
            f"`rollout.only_prompts` is {only}, but `rollout.prompts` is {prompts}, and a step "
            "takes each prompt once, so it would be smaller than it says. Raise only_prompts, or "
            "lower prompts."
        )


def _best_swap(config: RunConfig) -> None:
    settings, every = config.program.settings, config.evaluation.every
    if settings.get("swap") == "best" and not 1 <= every <= settings["steps"]:
        raise ConfigurationError(
            f"`program.swap` is best, but `evaluation.every` is {every}, so a stage of "
            f"{settings['steps']} steps is never evaluated and has no best checkpoint. Set "
            f"evaluation.every between 1 and {settings['steps']}, or program.swap=current."
        )


def _judge(config: RunConfig) -> None:
    url, model = config.judge.url, config.judge.model
    if (url is None) != (model is None):
        lacks = "judge.model" if model is None else "judge.url"
        raise ConfigurationError(
            f"The judge has no `{lacks}`, and it needs both url and model, to be asked. Set "
            f"{lacks}, or leave both out."
        )
    if url is not None and not _is_web_address(url):
        raise ConfigurationError(
            "`judge.url` needs to be the address of an OpenAI-compatible endpoint, as "
            "https://host/v1, without a name or password in it, because it is written into records."
            " Correct it, and give the key by judge.key_variable."
        )


def _lora(config: RunConfig) -> None:
    if config.lora.rank is None and config.lora != LoraSettings():
        raise ConfigurationError(
            "`lora` has settings of an adapter, but `lora.rank` is null, so every weight would be "
            "trained and they would change nothing. Set lora.rank, for example to 16, or leave "
            "lora out."
        )


def _alignment(config: RunConfig) -> None:
    if config.diagnostics.alignment_every and config.distributed.sharding == "full":
        raise ConfigurationError(
            "`diagnostics.alignment_every` is set, but `distributed.sharding` is full: the score "
            "goes backward through the head alone, and FSDP goes back through whole models only. "
            "Set one of them to 0 or none."
        )


def _vllm(config: RunConfig) -> None:
    server, chosen = config.vllm.server, config.vllm
    if config.engine != "vllm" and chosen != VllmSettings():
        raise ConfigurationError(
            f"`vllm` has settings, but `engine` is {config.engine}, which would ignore them. Set "
            "engine to vllm, or leave them out."
        )
    if server is not None and not _is_web_address(server):
        raise ConfigurationError(
            f"`vllm.server` is {server}, but needs to be the address of a vLLM server, to be "
            "asked. Write it as http://127.0.0.1:8000, without a name or password in it."
        )
    if server is not None and chosen.arguments:
        raise ConfigurationError(
            "`vllm.arguments` are those of a vLLM that the run starts, but `vllm.server` names one "
            "that runs already, so they would be ignored. Give them to the server, or leave one of "
            "the two out."
        )


def _is_web_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and "@" not in url
    except ValueError:
        return False
