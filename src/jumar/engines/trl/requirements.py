"""What TRL's trainer can give an algorithm, and what of its configuration an algorithm replaces."""

import warnings
from collections.abc import Collection
from dataclasses import fields
from importlib.metadata import version
from typing import Any

from jumar.algorithm import Algorithm
from jumar.engines.local.provision import needs
from jumar.errors import ConfigurationError
from jumar.types import COLUMNS

SUPPORTED = "1.16."  # more of it than is public is touched
GIVEN = frozenset(
    {
        "old_logprobs", "ref_logprobs", "teacher_logprobs", "rollout_logprobs", "old_entropies",
        "reward_parts",
    }
)  # fmt: skip
BY_RESPONSE = frozenset({"answer_ids", "tool_calls"})  # no data set can have them
REPLACED = (  # settings of GRPOConfig about advantages and loss, which the algorithm brings itself
    "beta", "epsilon", "epsilon_high", "delta", "loss_type", "importance_sampling_level",
    "scale_rewards", "multi_objective_aggregation", "top_entropy_quantile", "entropy_coef",
    "use_adaptive_entropy", "off_policy_mask_threshold", "use_bias_correction_kl",
    "sapo_temperature_neg", "sapo_temperature_pos",
    "vespo_k_pos", "vespo_k_neg", "vespo_lambda_pos", "vespo_lambda_neg",
)  # fmt: skip


def require_trl() -> None:
    """Raise a ConfigurationError unless the TRL that this adapter was written for is installed."""
    try:
        import trl  # noqa: F401

        found = version("trl")
    except ImportError as error:
        found = f"missing ({error})"
    if not found.startswith(SUPPORTED):
        raise ConfigurationError(
            f"JumarGRPOTrainer extends the trainer of TRL {SUPPORTED}x, and TRL is {found}. It "
            "touches private names, which another version may have changed. Install it with "
            "`pip install 'jumar[trl]'`."
        )


def check_algorithm(
    algorithm: Algorithm, *, teacher: bool, sampler_logprobs: bool, columns: Collection[str] | None
) -> None:
    """Refuse an algorithm that reads what TRL does not have; `columns` are the data set's."""
    name = algorithm.name
    if algorithm.value_loss is not None:
        raise ConfigurationError(
            f"`{name}` trains a critic, but TRL's GRPOTrainer has no value model, so nobody would "
            "give it `values`. Use jumar's own engine, or an algorithm without a critic: OWPO, "
            "GRPO, RLOO."
        )
    if algorithm.rows == "stored":
        raise ConfigurationError(
            f"`{name}` learns from stored responses or pairs, but GRPOTrainer trains on what it "
            "samples, so the policy would be taught its own samples. Use jumar's own engine with "
            "rollout.source=dataset, or TRL's SFTTrainer or DPOTrainer."
        )
    if needs(algorithm, "teacher") and not teacher:
        raise ConfigurationError(
            f"`{name}` reads the teacher, but the trainer was given none. Its loss compares the "
            "policy with it. Pass teacher=MODEL, a directory, a hub name or a loaded model."
        )
    if "rollout_logprobs" in algorithm.reads and not sampler_logprobs:
        raise ConfigurationError(
            f"`{name}` reads `rollout_logprobs` ({COLUMNS['rollout_logprobs'].meaning}), but TRL "
            "gets none from generate(), and the trainer's own are another number. Set "
            "use_vllm=True, or pass a rollout_func that returns `logprobs`."
        )
    for column in sorted(algorithm.reads - GIVEN):
        _check_column(name, column, columns)


def _check_column(name: str, column: str, columns: Collection[str] | None) -> None:
    meaning = f"`{column}` ({COLUMNS[column].meaning})" if column in COLUMNS else f"`{column}`"
    if column not in COLUMNS or COLUMNS[column].shape != "B":
        raise ConfigurationError(
            f"`{name}` reads {meaning}, which TRL does not make. It is a number for every token of "
            "the responses, and nobody else has those. Use jumar's own engine, with the program "
            "that makes it where there is one (`jumar list programs`)."
        )
    if columns is None or column in columns:
        return
    if column in BY_RESPONSE:
        raise ConfigurationError(
            f"`{name}` reads {meaning}, which TRL does not make. It is a number for every "
            "response, so no data set can have it. Pass a rollout_func that returns "
            f"{column!r} beside `completion_ids`, or use jumar's own engine."
        )
    raise ConfigurationError(
        f"`{name}` reads {meaning}, but the data set has the columns {', '.join(sorted(columns))}."
        " It is a number for every prompt, which only you know. Add it: "
        f"train_dataset.add_column({column!r}, [...])."
    )


def check_config(algorithm: Algorithm, args: Any) -> None:
    """Refuse a GRPOConfig whose batches this algorithm cannot use."""
    steps, window = args.steps_per_generation, args.gradient_accumulation_steps
    if steps % window:
        raise ConfigurationError(
            f"GRPOConfig has steps_per_generation={steps} and gradient_accumulation_steps={window},"
            " so an optimiser step would mix two rollouts. A loss is divided by what its whole "
            "step holds, and the second rollout does not exist yet. Make steps_per_generation a "
            f"multiple of {window}."
        )
    if algorithm.unit == "group":
        _check_whole_groups(algorithm.name, args)
    if args.sync_ref_model and not needs(algorithm, "reference"):
        raise ConfigurationError(
            f"GRPOConfig has sync_ref_model=True, but `{algorithm.name}` reads no reference, so "
            "none is loaded. There would be nothing to synchronise. Leave sync_ref_model out."
        )


def _check_whole_groups(name: str, args: Any) -> None:
    sizes = [("per_device_train_batch_size", "num_generations")]
    if args.eval_strategy != "no":
        sizes.append(("per_device_eval_batch_size", "num_generations_eval"))
    for batch, group in sizes:
        rows, size = getattr(args, batch), getattr(args, group) or args.num_generations
        if rows % size:
            raise ConfigurationError(
                f"`{name}` compares the responses of a group with each other, but {batch}={rows} "
                f"is no multiple of {group}={size}. A micro-batch would hold part of a group. Set "
                f"{batch} to a multiple of {size}."
            )


def check_divergences(algorithm: Algorithm, *, sharded: bool, reference: bool) -> None:
    """Refuse a request over the whole vocabulary that this model's wrapping does not allow."""
    if not algorithm.divergences:
        return
    asked = ", ".join(request.column for request in algorithm.divergences)
    if sharded:
        raise ConfigurationError(
            f"`{algorithm.name}` asks for {asked} over the whole vocabulary, which needs hidden "
            "states and the whole output layer, but FSDP and DeepSpeed keep a part of it in each "
            "process. Train it with DDP, or choose an algorithm that compares sampled tokens: "
            "opd_sampled."
        )
    if not reference and any(request.target == "reference" for request in algorithm.divergences):
        raise ConfigurationError(
            f"`{algorithm.name}` asks for {asked} over the whole vocabulary, but with peft TRL has "
            "no reference model, only the policy with its adapter off. Train without peft, or "
            "choose an algorithm that compares sampled tokens."
        )


def warn_of_replaced(algorithm: Algorithm, args: Any) -> None:
    """Say which settings have no effect, because the algorithm decides advantages and loss."""
    defaults = {field.name: field.default for field in fields(args)}
    given = {name: getattr(args, name) for name in REPLACED}
    ignored = {name: value for name, value in given.items() if value != defaults[name]}
    if args.use_vllm and args.vllm_importance_sampling_correction:
        ignored["vllm_importance_sampling_correction"] = True
    if ignored:
        settings = ", ".join(f"{name}={value!r}" for name, value in ignored.items())
        warnings.warn(
            f"GRPOConfig has {settings}: without effect, because `{algorithm.name}` brings its own "
            f"advantages and loss. Set what you mean in the algorithm: {algorithm.name}(...); "
            f"`jumar show {algorithm.name}` lists its settings.",
            stacklevel=3,
        )
