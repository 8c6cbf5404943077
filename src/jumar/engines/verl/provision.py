"""Whether verl can give what an algorithm reads: asked before the start, refused with a sentence.

And the other way round: which of verl's passes the algorithm needs. Both are decided from the
declared reads.
"""

from collections.abc import Collection
from typing import Any

from jumar.algorithm import Algorithm
from jumar.engines.verl.settings import VerlSettings
from jumar.errors import ConfigurationError
from jumar.types import COLUMNS

HERE = frozenset(
    {
        "old_logprobs", "old_entropies", "ref_logprobs", "rollout_logprobs", "teacher_logprobs",
        "values", "old_values", "answer_ids",
    }
)  # fmt: skip


def check(
    algorithm: Algorithm, settings: VerlSettings, verl: Any, stored: Collection[str] = ()
) -> None:
    """Refuse what would fail, or train something else; `stored` are the columns on disk."""
    _check_rows(algorithm, settings)
    _check_models(algorithm)
    _check_teacher(algorithm, settings, verl, stored)
    _check_sampling(algorithm, verl)
    _check_columns(algorithm, settings, stored)
    _check_terms(algorithm, verl)
    if algorithm.unit == "group":
        _check_groups(algorithm, verl)


def switch_passes(algorithm: Algorithm, verl: Any) -> None:
    """Turn verl's reference, critic and entropy on or off, and nothing else."""
    actor = verl.actor_rollout_ref.actor
    actor.use_kl_loss = "ref_logprobs" in algorithm.reads  # the only switch of its reference
    actor.calculate_entropy = bool(algorithm.divergences)
    verl.critic.enable = algorithm.value_loss is not None


def needs_old_pass(algorithm: Algorithm, verl: Any) -> bool:
    """With one update per rollout the old policy is the current one, and no pass is needed."""
    actor = verl.actor_rollout_ref.actor
    several = verl.data.train_batch_size * actor.ppo_epochs > actor.ppo_mini_batch_size
    early = algorithm.reward.reads | algorithm.advantage.reads
    if "old_entropies" in algorithm.reads:
        return True
    return "old_logprobs" in algorithm.reads and (several or "old_logprobs" in early)


def early_reads(algorithm: Algorithm) -> frozenset[str]:
    """What `compute_signals` reads, before any loss."""
    read = algorithm.reward.reads | algorithm.advantage.reads | algorithm.keep.reads
    return read & algorithm.reads


def _check_rows(algorithm: Algorithm, settings: VerlSettings) -> None:
    if algorithm.rows == "stored" and settings.batch is None:
        raise ConfigurationError(
            f"`{algorithm.name}` learns from stored responses or pairs, but verl's trainer samples "
            "every response, so it would be taught its own samples. Set jumar.batch to a fixed "
            "batch, or choose an algorithm that samples."
        )


def _check_models(algorithm: Algorithm) -> None:
    late = [algorithm.surrogate, algorithm.token_weight, *(p.piece for p in algorithm.penalties)]
    if "values" in frozenset().union(*(piece.reads for piece in late)):
        raise ConfigurationError(
            f"`{algorithm.name}` trains the policy and the critic by one loss, but verl's critic "
            "is a worker of its own that never sees the policy's log-probs. The two gradients "
            "would not be those of one loss. Run it with jumar's own engine, or choose ppo."
        )
    whole = [str(d) for d in algorithm.divergences if d.kind != "entropy"]
    if whole:
        raise ConfigurationError(
            f"`{algorithm.name}` reads {', '.join(whole)} over the whole vocabulary, but verl's "
            "loss gets log-probs of the sampled tokens only, and the entropy. There is nothing to "
            "sum over. Choose opd_sampled or kdrl, or run it with jumar's own engine."
        )


def _check_teacher(
    algorithm: Algorithm, settings: VerlSettings, verl: Any, stored: Collection[str]
) -> None:
    served = verl.distillation.enabled
    read = "teacher_logprobs" in algorithm.reads and "teacher_logprobs" not in stored
    if served and not read:
        raise ConfigurationError(
            f"distillation.enabled is True, but `{algorithm.name}` reads no teacher here. verl's "
            "own distillation loss is not added to jumar's, so the teacher would do nothing. Set "
            "distillation.enabled=False, or choose kdrl, opd_sampled or mopd."
        )
    if read and settings.batch is not None:
        raise ConfigurationError(
            f"`{algorithm.name}` reads the teacher, but verl asks its teacher while it samples, "
            "and a fixed batch is not sampled. Its log-probs would be missing. Use a batch whose "
            "columns hold teacher_logprobs, or leave jumar.batch out."
        )
    if read and not served:
        raise ConfigurationError(
            f"`{algorithm.name}` reads the teacher, but verl was started without one. Its loss "
            "compares the policy with it. Set distillation.enabled=True, and "
            "distillation.teacher_models.teacher_model.model_path to the teacher."
        )
    if read and "topk" in verl.distillation.distillation_loss.loss_mode:
        raise ConfigurationError(
            f"`{algorithm.name}` reads the teacher's log-prob of each sampled token, but "
            "distillation.distillation_loss.loss_mode asks verl's teacher for its likeliest "
            "tokens. Those need not hold the sampled one. Leave loss_mode at k3."
        )


def _check_sampling(algorithm: Algorithm, verl: Any) -> None:
    rollout = verl.actor_rollout_ref.rollout
    if rollout.top_p != 1 or rollout.top_k not in (-1, 0):
        raise ConfigurationError(
            f"verl samples with top_p={rollout.top_p} and top_k={rollout.top_k}, but its workers "
            f"give `{algorithm.name}` log-probs over the whole vocabulary. Ratios would be of "
            "another distribution than the one that was sampled. Set "
            "actor_rollout_ref.rollout.top_p=1 and top_k=-1."
        )
    if "rollout_logprobs" in algorithm.reads and not rollout.calculate_log_probs:
        raise ConfigurationError(
            f"`{algorithm.name}` reads the sampler's log-probs, but verl is told not to keep them. "
            "Its weights are made of them. Set "
            "actor_rollout_ref.rollout.calculate_log_probs=True."
        )
    if "teacher_logprobs" in algorithm.reads and rollout.temperature != 1:
        raise ConfigurationError(
            f"verl samples at temperature {rollout.temperature}, but its teacher answers at 1, and "
            f"`{algorithm.name}` compares the two. They would be of two distributions. Set "
            "actor_rollout_ref.rollout.temperature=1, or choose an algorithm without a teacher."
        )


def _check_columns(algorithm: Algorithm, settings: VerlSettings, stored: Collection[str]) -> None:
    missing = algorithm.reads - HERE - frozenset(stored)
    if missing:
        names = ", ".join(f"`{name}` ({COLUMNS[name].meaning})" for name in sorted(missing))
        raise ConfigurationError(
            f"`{algorithm.name}` reads {names}, which verl does not compute. The loss has nothing "
            "to work with. Set jumar.values.file for V*, jumar.columns or jumar.reward_parts for "
            "what the reward function or the data set gives, jumar.batch and jumar.signal for "
            "what is stored, or choose another algorithm."
        )
    early = early_reads(algorithm) - frozenset(stored)
    if settings.batch is not None and early:
        raise ConfigurationError(
            f"`{algorithm.name}` makes its advantages from {', '.join(sorted(early))}, but those "
            "of a fixed batch are made once over the whole of it, when verl has computed nothing "
            "yet. Use a batch that holds the column, or let verl sample (no jumar.batch)."
        )


def _check_terms(algorithm: Algorithm, verl: Any) -> None:
    """Terms of verl's own would be left out without a word: the loss is the algorithm's."""
    actor, correction = verl.actor_rollout_ref.actor, verl.algorithm.rollout_correction
    terms = {
        "actor_rollout_ref.actor.use_kl_loss=False": actor.use_kl_loss,
        "actor_rollout_ref.actor.entropy_coeff=0": actor.entropy_coeff,
        "actor_rollout_ref.actor.policy_loss.loss_mode=vanilla": (
            actor.policy_loss.loss_mode != "vanilla"
        ),
        "algorithm.use_kl_in_reward=False": verl.algorithm.use_kl_in_reward,
        "algorithm.rollout_correction.rollout_is=null": correction.rollout_is,
        "algorithm.rollout_correction.rollout_rs=null": correction.rollout_rs,
        "algorithm.rollout_correction.bypass_mode=False": correction.bypass_mode,
    }
    asked = [setting for setting, on in terms.items() if on]
    if asked:
        raise ConfigurationError(
            f"verl is told to add terms of its own, but the whole loss is `{algorithm.name}`'s. "
            f"They would be left out without a word. Write {' '.join(asked)}, and give "
            f"coefficients to the algorithm (`jumar show {algorithm.name}`), or "
            "+jumar.correction.kind=truncated for the sampler's log-probs."
        )


def _check_groups(algorithm: Algorithm, verl: Any) -> None:
    actor, trainer = verl.actor_rollout_ref.actor, verl.trainer
    ranks = trainer.n_gpus_per_node * trainer.nnodes
    ranks //= actor.get("fsdp_config", {}).get("ulysses_sequence_parallel_size", 1)
    if actor.shuffle or actor.ppo_mini_batch_size % ranks:
        raise ConfigurationError(
            f"`{algorithm.name}` compares the responses of a group, so each rank needs whole "
            f"groups, but ppo_mini_batch_size={actor.ppo_mini_batch_size} prompts are dealt to "
            f"{ranks} ranks with shuffle={actor.shuffle}. A group that is torn apart has no "
            "pairs. Set actor_rollout_ref.actor.ppo_mini_batch_size to a multiple of the ranks, "
            "and actor_rollout_ref.actor.shuffle=False."
        )
