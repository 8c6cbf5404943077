"""From TRL's dictionary of a rollout to our columns, and back into the dictionary.

TRL's rows are [prompt, padded on the left | completion, padded on the right]; `completion_mask`
ends a completion at its EOS and `tool_mask` leaves out what a tool wrote.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from jumar.algorithm import Algorithm, compute_signals
from jumar.tasks.task import content_hash, normalised_prompt
from jumar.types import COLUMNS, Metrics, RolloutBatch, State

PREFIX = "jumar/"  # of our columns among TRL's
LOGPROBS = {  # ours by TRL's names
    "rollout_logprobs": "sampling_per_token_logps",
    "old_logprobs": "old_per_token_logps",
    "ref_logprobs": "ref_per_token_logps",
}


def prompt_id(row: Mapping[str, Any]) -> int:
    """63-bit hash of a row's prompt, text or messages."""
    prompt = row.get("prompt", "")
    return content_hash(
        normalised_prompt(prompt if isinstance(prompt, str) else json.dumps(prompt))
    )


def own_columns(
    output: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], ends: Sequence[int], reads: Any
) -> dict[str, Tensor]:
    """The columns of one process; `ends` are the tokens that a finished response ends with.

    Of the log-probs, those in `reads` that TRL computed; of the columns of the data set and of a
    rollout function, those in `reads`. A token without a log-prob of the sampler, where one is
    read, is not trained on.
    """
    ids, written = output["completion_ids"], output["completion_mask"].bool()
    last = ids.gather(1, (written.sum(dim=1, keepdim=True) - 1).clamp(min=0))[:, 0]
    finished = torch.isin(last, torch.tensor(ends, device=ids.device)) & written.any(dim=1)
    columns = {
        name: output[key] for name, key in LOGPROBS.items() if name in reads and key in output
    }
    mask = written & output["tool_mask"].bool() if "tool_mask" in output else written
    if "rollout_logprobs" in columns:
        mask = mask & ~columns["rollout_logprobs"].isnan()
    numbers = {name: [row[name] for row in rows] for name in sorted(reads) if name in rows[0]}
    return {
        "token_ids": ids,
        "mask": mask,
        "truncated": ~finished,
        "prompt_ids": torch.tensor([prompt_id(row) for row in rows], device=ids.device),
        **columns,
        **{name: torch.tensor(values, device=ids.device) for name, values in numbers.items()},
    }


def scored(
    columns: Mapping[str, Tensor],
    rewards_by_function: Tensor,
    weights: Tensor,
    *,
    group_size: int,
    full_mark: float,
    step: int,
    seed: int,
) -> tuple[RolloutBatch, Tensor]:
    """The rollout of all processes, and [N] bool: rows of which some reward function said anything.

    TRL's rows stand in groups of `group_size`. A row is right from a reward of `full_mark` on.
    """
    rewards = (rewards_by_function * weights.to(rewards_by_function)).nansum(dim=1)
    numbers = torch.arange(len(rewards), device=rewards.device)
    batch = RolloutBatch.build(
        step=step,
        stage_step=step,
        seed=seed,
        scores=rewards,
        rewards=rewards,
        correct=rewards > full_mark - 1e-6,  # a sum of float32 rewards may fall short of it
        group_ids=numbers // group_size,
        sample_ids=numbers % group_size,
        reward_parts=rewards_by_function,
        **columns,
    )
    return batch, ~rewards_by_function.isnan().all(dim=1)


def with_signals(
    algorithm: Algorithm, batch: RolloutBatch, scorable: Tensor, state: State
) -> tuple[dict[str, Tensor], State, Metrics]:
    """Every row's columns with the algorithm's signals, its new state, and metrics.

    Rows that `keep` drops are zero, their mask too, and were never seen by the algorithm.
    """
    rows = scorable.nonzero()[:, 0]
    rows = rows[algorithm.keep(batch.select(rows))]
    kept = {"kept": (rows.new_tensor(len(rows)), rows.new_tensor(len(batch)))}
    nothing = not len(rows)
    if nothing:  # one row without a token stands for all: its columns are still wanted
        rows = rows.new_zeros(1)
        batch = batch.with_columns(mask=torch.zeros_like(batch.mask))
    chosen = batch.select(rows)
    signals, new_state = compute_signals(algorithm, chosen, state)
    chosen = chosen.with_columns(**signals.columns, advantages=signals.advantages)
    full = {
        name: column.new_zeros(len(batch), *column.shape[1:]).index_copy(0, rows, column)
        for name, column in chosen.columns.items()
    }
    return full, state if nothing else new_state, {**signals.metrics, **kept}


def part(columns: Mapping[str, Tensor], first: int, mask: Tensor) -> dict[str, Tensor]:
    """The rows from `first` on of the process whose own mask, [B, T], is given."""
    rows, length = mask.shape
    own = {name: column[first : first + rows] for name, column in columns.items()}
    return {n: c[:, :length] if _per_token(n, c) else c for n, c in own.items()}


def _per_token(name: str, column: Tensor) -> bool:
    return column.dim() == 2 and (name not in COLUMNS or COLUMNS[name].shape == "BT")


def by_group(column: Tensor, size: int) -> Tensor:
    """[B / size, size, ...]: so that TRL, which shuffles and splits rows, moves whole groups."""
    return column.reshape(-1, size, *column.shape[1:]) if column.dim() else column


def by_row(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """The dictionary with rows where `by_group` had made groups."""
    grouped = inputs["completion_ids"].dim() == 3
    return {n: c.flatten(0, 1) if grouped and c.dim() else c for n, c in inputs.items()}


def ours(inputs: Mapping[str, Any]) -> dict[str, Tensor]:
    """Our columns of TRL's dictionary."""
    return {n.removeprefix(PREFIX): c for n, c in inputs.items() if n.startswith(PREFIX)}
