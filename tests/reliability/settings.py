"""Every setting of a recipe: how its effect is seen.

CHANGED are seen by a run of three steps that leaves other bits, files or lines with the value given
here. SEEN_BY names the test that shows the effect of another. A key that is in neither has none,
and must not be a setting.
"""

from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

from jumar.config import RunConfig

LINEAR = {"decay": "linear", "decay_steps": 3}
MASKED = {"kind": "masked", "ratio_max": 1.0}
LORA = {"rank": 2}
# by the key: what it becomes, and the settings beside which it counts
CHANGED: dict[str, tuple[Any, dict[str, Any]]] = {
    "seed": (1, {}),
    "loading.dtype": ("bfloat16", {}),
    "lora.rank": (2, {}),
    "lora.alpha": (64, {"lora": LORA}),
    "lora.target_modules": (("q_proj",), {"lora": LORA}),
    "rollout.prompts": (2, {}),
    "rollout.only_prompts": (3, {}),
    "rollout.responses": (2, {}),
    "rollout.temperature": (0.5, {}),
    "rollout.top_p": (0.5, {}),
    "rollout.top_k": (2, {}),
    "rollout.max_response_tokens": (3, {}),
    "rollout.max_refills": (0, {"algorithm": "dapo"}),
    "rollout.control": ("shuffled_rewards", {}),
    "optimiser.learning_rate": (1e-4, {}),
    "optimiser.critic_learning_rate": (1e-4, {"algorithm": "ppo"}),
    "optimiser.betas": ((0.8, 0.9), {}),
    "optimiser.eps": (1e-3, {}),
    "optimiser.weight_decay": (0.1, {}),
    "optimiser.max_grad_norm": (1e-3, {}),
    "optimiser.warmup_steps": (5, {}),
    "optimiser.decay": ("cosine", {"optimiser": LINEAR}),
    "optimiser.decay_steps": (9, {"optimiser": LINEAR}),
    "optimiser.minibatches": (2, {}),
    "optimiser.epochs": (2, {}),
    "optimiser.micro_batch_tokens": (20, {}),
    "correction.kind": ("masked", {"correction": {"ratio_max": 1.0}}),
    "correction.level": ("response", {"correction": MASKED}),
    "correction.ratio_min": (1.0, {"correction": {"kind": "masked"}}),
    "correction.ratio_max": (1.0, {"correction": {"kind": "masked"}}),
    "scoring.partial_credit": (True, {}),
    "evaluation.every": (0, {}),
    "checkpoints.every": (2, {"checkpoints": {"keep_last": 9}}),
    "checkpoints.keep_last": (1, {"checkpoints": {"keep_best": 0}}),
    "checkpoints.keep_best": (2, {"checkpoints": {"keep_last": 1}, "evaluation": {"every": 1}}),
    "checkpoints.rollouts_every": (0, {}),
    "checkpoints.token_groups": (0, {}),
    "diagnostics.distance_every": (1, {}),
    "diagnostics.alignment_every": (1, {}),
    "diagnostics.prompts": (3, {"diagnostics": {"distance_every": 1}}),
}
REQUEST = "test_a_request_has_the_shape_of_the_protocol_and_the_key_in_its_header_only"
SEEN_BY = {
    "model": "test_grpo_steps_on_the_real_gsm8k_file_with_a_local_model",
    "task": "test_every_bundled_recipe_is_valid_and_says_what_it_is",
    "engine": "test_one_run_meets_every_fault_and_goes_on_after_each",
    "reference": "test_a_finished_run_is_the_reference_of_another",
    "teacher": "test_each_prompt_is_scored_by_its_own_teacher",
    "rewards": "test_rewards_stand_beside_the_verifier_and_are_learned_from",
    "tracker": "test_a_recipe_names_none_one_or_several_and_is_written_as_it_was",
    "tracking.project": "test_a_run_that_was_killed_and_resumed_is_whole_at_its_trackers",
    "tracking.name": "test_a_run_that_was_killed_and_resumed_is_whole_at_its_trackers",
    "loading.device": "test_what_is_wrong_is_said_before_anything_is_written",
    "loading.system_prompt": "test_the_configured_system_prompt_replaces_the_tasks",
    "loading.chat_template": (
        "test_a_configured_template_replaces_the_tokenizers_and_an_empty_one_means_plain_text"
    ),
    "rollout.source": "test_stored_rows_train_without_a_verifier",
    "loading.attention": "test_dtype_and_attention_are_those_asked_for",
    "loading.gradient_checkpointing": "test_gradient_checkpointing_can_be_asked_for",
    "loading.threads": "test_a_run_computes_with_as_many_threads_as_it_is_told",
    "rollout.max_prompt_tokens": "test_a_long_prompt_is_refused_not_cut_and_can_be_left_out",
    "rollout.rows": "test_a_sampler_draws_as_many_rows_at_once_as_it_is_told",
    "scoring.workers": "test_the_recipe_decides_on_workers_and_budgets_of_scoring",
    "scoring.cpu_seconds": "test_the_recipe_decides_on_workers_and_budgets_of_scoring",
    "scoring.wall_seconds": "test_the_recipe_decides_on_workers_and_budgets_of_scoring",
    "evaluation.prompts": "test_a_run_asks_as_much_as_its_recipe_says",
    "evaluation.samples": "test_a_run_asks_as_much_as_its_recipe_says",
    "evaluation.final_prompts": "test_a_run_asks_as_much_as_its_recipe_says",
    "evaluation.final_samples": "test_a_run_asks_as_much_as_its_recipe_says",
    "evaluation.temperature": "test_a_run_asks_as_much_as_its_recipe_says",
    "evaluation.top_p": "test_an_evaluation_draws_as_its_settings_say",
    "judge.url": "test_a_judge_is_counted_apart_told_of_and_kept_with_its_words",
    "judge.model": REQUEST,
    "judge.key_variable": REQUEST,
    "judge.temperature": REQUEST,
    "judge.seconds": "test_a_reply_that_is_late_is_no_opinion",
    "judge.retries": "test_what_may_pass_is_tried_again_and_what_cannot_is_not",
    "judge.workers": "test_a_judge_is_asked_by_as_many_workers_as_it_has",
    "distributed.sharding": "test_so_do_two_between_whom_the_weights_are_dealt",
    "distributed.deadline": "test_a_process_waits_for_the_others_as_long_as_its_recipe_says",
    "vllm.server": "test_two_processes_train_what_one_server_draws",
    "vllm.arguments": "test_an_argument_reaches_vllm_which_refuses_what_it_does_not_know",
    "vllm.exchange": "test_an_update_reaches_the_sampler_and_what_it_cached",
    "vllm.patience": "test_an_engine_that_hangs_is_given_up",
    "vllm.tolerance": "test_a_wrong_exchange_is_named_at_once",
}


def leaves(model: type[BaseModel] = RunConfig, path: str = "") -> dict[str, Any]:
    """{"rollout.prompts": its field}; `algorithm`, `program` and `plan` are not looked into."""
    found: dict[str, Any] = {}
    for name, field in model.model_fields.items():
        kind = field.annotation
        if name in ("algorithm", "program", "plan"):
            continue
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            found |= leaves(kind, f"{path}{name}.")
        else:
            found[path + name] = field
    return found


def kinds(field: Any) -> set[Any]:
    """The types that a field takes: int, float, str, bool, tuple, dict, None, Any, "literal"."""
    kind = field.annotation
    union = get_origin(kind) in (Union, UnionType)
    return {_plain(part) for part in (get_args(kind) if union else (kind,))}


def _plain(kind: Any) -> Any:
    if kind is type(None):
        return None
    origin = get_origin(kind)
    return "literal" if origin is Literal else origin or kind
