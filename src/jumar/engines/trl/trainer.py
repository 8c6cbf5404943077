"""TRL's GRPOTrainer with an algorithm of ours: signals once per rollout, its loss per micro-batch.

TRL samples, calls the reward functions, and computes log-probs: its own, its reference's (loaded
whenever the algorithm reads it), the teacher's. Our columns of a rollout travel in TRL's dictionary
under keys that begin with "jumar/", so TRL shuffles and splits them. Rows that `keep` drops have an
empty mask and are counted in no scale, because TRL does not sample again.

Private names of TRL 1.16 that are touched; tests/engines/trl_adapter/test_trl_contract.py holds
each of them:

    extended   GRPOTrainer._calculate_rewards, _generate_and_score_completions, _save_checkpoint,
               _load_optimizer_and_scheduler
    replaced   GRPOTrainer._compute_loss
    called     GRPOTrainer._get_per_token_logps_and_entropies, Trainer._get_output_dir,
               trl.trainer.utils.add_fused_lm_head (in teacher.py)
    read       GRPOTrainer._buffered_inputs, _step, _tokenizer, _metrics, _logs, and the keys of
               the dictionary that _generate_and_score_completions returns
    set        GRPOConfig.beta while GRPOTrainer.__init__ runs: not 0 makes it load a reference
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from jumar import algorithms
from jumar.algorithm import Algorithm, policy_loss, reduced_stats
from jumar.engines.local.provision import needs
from jumar.engines.trl.columns import PREFIX, by_group, by_row, ours, own_columns, part, scored
from jumar.engines.trl.columns import with_signals as signalled
from jumar.engines.trl.divergences import divergence_column, hidden_states
from jumar.engines.trl.requirements import (
    check_algorithm,
    check_config,
    check_divergences,
    require_trl,
    warn_of_replaced,
)
from jumar.engines.trl.state import read_state, write_state
from jumar.engines.trl.teacher import frozen_teacher
from jumar.errors import DataError
from jumar.ops.divergence import Divergence
from jumar.types import LossScale, Metrics, RolloutBatch, State, TokenBatch

try:
    from accelerate.utils import is_peft_model
    from trl import GRPOConfig, GRPOTrainer
except ImportError:  # the message comes when a trainer is made
    GRPOTrainer = object


class JumarGRPOTrainer(GRPOTrainer):  # type: ignore[misc]
    """GRPOTrainer with `algorithm` in the place of its advantages and its loss.

    Everything else is TRL's: reward functions, data sets, callbacks, configuration. `algorithm` is
    a record or a name. A response is right where its weighted reward reaches `full_mark`, which
    DAPO's filter and others ask for. `teacher` is a directory, a hub name or a loaded model with
    the policy's tokenizer. A number per prompt that an algorithm reads, as A*-PO does
    `optimal_values`, is a column of the data set.
    """

    def __init__(
        self,
        model: Any,
        reward_funcs: Any = None,
        args: Any = None,
        train_dataset: Any = None,
        *others: Any,
        algorithm: str | Algorithm,
        teacher: Any = None,
        full_mark: float = 1.0,
        **named: Any,
    ) -> None:
        require_trl()
        algorithm = algorithms.get(algorithm) if isinstance(algorithm, str) else algorithm
        if args is None:
            name = model if isinstance(model, str) else model.config.name_or_path
            args = GRPOConfig(f"{Path(name).name}-{algorithm.name}")
        rollout_func = named.get("rollout_func")  # may return columns of its own
        check_algorithm(
            algorithm,
            teacher=teacher is not None,
            sampler_logprobs=args.use_vllm or bool(rollout_func),
            columns=None if rollout_func else getattr(train_dataset, "column_names", None),
        )
        check_config(algorithm, args)
        warn_of_replaced(algorithm, args)
        self.algorithm, self.full_mark = algorithm, full_mark
        self.algorithm_state: State = algorithm.init_state()
        self.rollouts = 0  # made so far
        beta, args.beta = args.beta, float(needs(algorithm, "reference"))
        try:
            super().__init__(model, reward_funcs, args, train_dataset, *others, **named)
        finally:
            args.beta = beta
        check_divergences(
            algorithm,
            sharded=self.is_fsdp_enabled or self.is_deepspeed_enabled,
            reference=self.ref_model is not None,
        )
        self.teacher = None
        if needs(algorithm, "teacher"):
            self.teacher = frozen_teacher(teacher, self.model, self._tokenizer, self.temperature)

    def _calculate_rewards(self, *args: Any, **kwargs: Any) -> Tensor:
        """[N, functions] over all processes, as TRL's; kept for the signals."""
        rewards: Tensor = super()._calculate_rewards(*args, **kwargs)
        self._rewards = rewards
        return rewards

    @torch.no_grad()
    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        """TRL's rollout of this process, with our columns and signals."""
        training = self.model.training
        output: dict[str, Any] = super()._generate_and_score_completions(inputs)
        self.rollouts += training
        if "pixel_values" in output:
            raise DataError(
                "JumarGRPOTrainer got images, but it computes log-probs of text alone, which "
                "would be those of another prompt. Train on a data set without images."
            )
        columns = self._with_signals(self._columns(output, inputs), training)
        output |= {PREFIX + name: column for name, column in columns.items()}
        output["advantages"] = columns["advantages"]
        if training and self.algorithm.unit == "group":
            output = {n: by_group(c, self.num_generations) for n, c in output.items()}
        return output

    @property
    def _before(self) -> int:
        """Rollouts before the one that is trained on: the algorithm's clock."""
        return max(self.rollouts - 1, 0)

    def _columns(self, output: dict[str, Any], inputs: list[dict[str, Any]]) -> dict[str, Tensor]:
        """What TRL has not computed is computed here: early old log-probs, the teacher's, ..."""
        reads, found, size = self.algorithm.reads, {}, self.args.per_device_train_batch_size
        early = self.algorithm.reward.reads | self.algorithm.advantage.reads
        needed = "old_logprobs" in early and "old_per_token_logps" not in output
        if needed or "old_entropies" in reads:
            own = self._logprobs(self.model, output, batch_size=size, compute_entropy=True)
            found["old_logprobs"], found["old_entropies"], _ = own
        if "teacher_logprobs" in reads:
            found["teacher_logprobs"] = self._logprobs(self.teacher, output, batch_size=size)[0]
        ends = [*self.eos_token_ids, self._tokenizer.pad_token_id]
        return own_columns(output, inputs, ends, reads) | found

    def _with_signals(self, mine: dict[str, Tensor], training: bool) -> dict[str, Tensor]:
        """The columns of one process with signals, made of those of all processes."""
        batch, scorable = scored(
            {name: self._gathered(column) for name, column in mine.items()},
            self._rewards,
            self.reward_weights,
            group_size=self.num_generations if training else self.num_generations_eval,
            full_mark=self.full_mark,
            step=self._before,
            seed=self.args.seed,
        )
        columns, state, metrics = signalled(self.algorithm, batch, scorable, self.algorithm_state)
        if training:
            self.algorithm_state = state
        self._note(metrics)
        self._show_advantages(columns["advantages"].sum(1) / columns["mask"].sum(1).clamp(min=1))
        return part(columns, self.accelerator.process_index * len(mine["mask"]), mine["mask"])

    def _gathered(self, column: Tensor) -> Tensor:
        """The rows of all processes, padded to the longest."""
        if column.dim() == 2:  # padded with 0, a mask would become a column of integers
            column = self.accelerator.pad_across_processes(column, dim=1, pad_index=False)
        gathered: Tensor = self.accelerator.gather(column)
        return gathered

    def _compute_loss(self, model: Any, inputs: dict[str, Any]) -> Tensor:
        """A micro-batch's share of the loss of the whole optimiser step."""
        window, first = self._window(inputs)
        if first:
            self._scale = self._loss_scale(model, window)
        tokens, entropies, auxiliary = self._tokens(model, inputs)
        output = policy_loss(self.algorithm, tokens, self._scale)
        entropy = (entropies * tokens.mask).sum(), tokens.mask.sum()
        self._note(self._summed({**output.metrics, "entropy": entropy}))
        # gradients will be averaged over processes, and this is a share of their sum
        loss: Tensor = output.loss * self.accelerator.num_processes
        if self.aux_loss_enabled:  # of a mixture of experts; TRL's own, not the algorithm's
            accumulated = self.args.gradient_accumulation_steps if self.model.training else 1
            loss = loss + self.router_aux_loss_coef * auxiliary / accumulated
        return loss

    def _window(self, inputs: dict[str, Any]) -> tuple[list[dict[str, Any]], bool]:
        """The micro-batches of this optimiser step, and whether this is the first of them."""
        if not self.model.training:
            return [inputs], True
        size = self.args.gradient_accumulation_steps
        place = self._step % self.args.steps_per_generation
        start = place - place % size
        return self._buffered_inputs[start : start + size], place == start

    def _loss_scale(self, model: Any, window: list[dict[str, Any]]) -> LossScale:
        """Counts over the optimiser step: its micro-batches, on all processes."""
        stats: Metrics = {}
        if self.algorithm.batch_stats is not None:
            with torch.no_grad():
                parts = [self._tokens(model, part)[0] for part in window]
            stats = self._summed(reduced_stats(self.algorithm, parts))
        columns = [ours(by_row(part)) for part in window]
        counted = {
            name: self._gathered(torch.cat([part[name] for part in columns]))
            for name in ("mask", "group_ids")
        }
        batch = RolloutBatch.build(
            step=self._before, stage_step=self._before, seed=self.args.seed, **counted
        )
        return LossScale.of(batch, stats)

    def _tokens(self, model: Any, inputs: dict[str, Any]) -> tuple[TokenBatch, Tensor, Any]:
        """Rows that are trained on, their entropies, and the auxiliary loss, from one forward."""
        inputs = by_row(inputs)
        with hidden_states(self._plain(model), bool(self.algorithm.divergences)) as hidden:
            logprobs, entropies, auxiliary = self._logprobs(
                model, inputs, compute_entropy=True, compute_aux_loss=self.aux_loss_enabled
            )
        columns = {**ours(inputs), "logprobs": logprobs}
        if "old_logprobs" in self.algorithm.reads:
            columns.setdefault("old_logprobs", logprobs.detach())
        for request in self.algorithm.divergences:
            columns[request.column] = self._divergence(request, model, hidden[0], inputs)
        tokens = TokenBatch.build(
            step=self._before, stage_step=self._before, seed=self.args.seed, **columns
        )
        alive = tokens.mask.any(dim=1).nonzero()[:, 0]
        rows = alive if len(alive) else alive.new_zeros(1)  # a row without a token counts nowhere
        return tokens.select(rows), entropies.detach()[rows], auxiliary

    def _divergence(
        self, request: Divergence, model: Any, hidden: Tensor, inputs: dict[str, Any]
    ) -> Tensor:
        other = {"reference": self.ref_model, "teacher": self.teacher}.get(request.target or "")
        others: list[Tensor] = []
        if other is not None:
            other = self._plain(other)
            with torch.no_grad(), hidden_states(other, True) as others:
                self._logprobs(other, inputs)
        return divergence_column(
            request,
            ours(inputs)["mask"],
            model=self._plain(model),
            hidden=hidden,
            other=other,
            other_hidden=others[0] if others else None,
            temperature=self.temperature,
        )

    def _logprobs(self, model: Any, inputs: dict[str, Any], **options: Any) -> Any:
        """([B, T] nats of each completion token, entropies, auxiliary loss) by TRL's own pass."""
        sides = ("prompt", "completion")
        ids = torch.cat([inputs[f"{side}_ids"] for side in sides], dim=1)
        mask = torch.cat([inputs[f"{side}_mask"] for side in sides], dim=1)
        length = inputs["completion_ids"].shape[1]
        return self._get_per_token_logps_and_entropies(model, ids, mask, length, **options)

    def _plain(self, model: Any) -> Any:
        """The causal language model inside the wrappers of processes and adapters."""
        model = self.accelerator.unwrap_model(model)
        return model.get_base_model() if is_peft_model(model) else model

    def _summed(self, metrics: Metrics) -> Metrics:
        """(sum, count) over all processes; every one of them has the same names."""
        return {
            name: (self.accelerator.reduce(total), self.accelerator.reduce(n))
            for name, (total, n) in sorted(metrics.items())
        }

    def _note(self, metrics: Metrics) -> None:
        """Means for TRL's log, which averages over micro-batches."""
        mode = "train" if self.model.training else "eval"
        for name, (total, count) in metrics.items():
            if count > 0:
                self._metrics[mode][name].append(float(total / count))

    def _show_advantages(self, advantages: Tensor) -> None:
        """[N] means over each response's tokens, for the table in which TRL has written its own."""
        logged = self._logs["advantages"]
        before = list(logged)[: -len(advantages)]
        logged.clear()
        logged.extend([*before, *advantages.tolist()])

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """TRL's checkpoint, with the algorithm's state and clock."""
        super()._save_checkpoint(model, trial)
        if self.args.should_save:
            directory = Path(self._get_output_dir(trial)) / f"checkpoint-{self.state.global_step}"
            write_state(directory, self.algorithm_state, self.rollouts)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        """TRL's, and the algorithm's state and clock."""
        super()._load_optimizer_and_scheduler(checkpoint)
        if checkpoint is not None:
            self.algorithm_state, self.rollouts = read_state(Path(checkpoint))
