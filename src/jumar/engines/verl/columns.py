"""Columns of jumar and fields of verl: what each is called there, and how the shapes correspond.

verl keeps a row without padding: a field is a jagged tensor, one entry per response token (some
fields span the prompt, too). Ours are padded on the right. What verl has no name for travels beside
its own fields as `jumar_<column>`.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from jumar.errors import DataError
from jumar.tasks.task import content_hash, normalised_prompt
from jumar.types import COLUMNS, RolloutBatch, TokenBatch

OWN = "jumar_"
STEP = "rollouts_before"  # the one number that travels with a batch and is no column
FIELDS: Mapping[str, str] = {  # our column: verl's field of the same tokens
    "token_ids": "responses",
    "rollout_logprobs": "rollout_log_probs",
    "old_logprobs": "old_log_probs",
    "ref_logprobs": "ref_log_prob",
    "old_entropies": "entropy",
    "old_values": "values",
}
ROLLOUT_FIELDS = (
    *FIELDS.values(), "prompts", "response_mask", "rm_scores", "uid", "raw_prompt",
    "extra_fields", "extra_info", "teacher_logprobs",
)  # fmt: skip


def padded(field: Tensor) -> Tensor:
    """[B, T]: a jagged field, 0 after its end; halves become float32, the loss is taken in that."""
    dense = torch.nested.to_padded_tensor(field, 0) if field.is_nested else field
    return dense.float() if dense.dtype in (torch.bfloat16, torch.float16) else dense


def jagged(column: Tensor, lengths: Tensor) -> Tensor:
    """The first `lengths` entries of each row, as verl keeps them."""
    rows = [row[:length] for row, length in zip(column, lengths.tolist(), strict=True)]
    return torch.nested.as_nested_tensor(rows, layout=torch.jagged)


def prompt_text(messages: Sequence[Mapping[str, Any]]) -> str:
    """What the user asked in a conversation, without the system's text."""
    return "\n".join(str(m["content"]) for m in messages if m["role"] == "user")


def prompt_id(text: str) -> int:
    """The id that the prompt has in jumar."""
    return content_hash(normalised_prompt(text))


def rollout_of(
    data: Any,
    keys: Sequence[str],
    *,
    step: int,
    seed: int,
    full_mark: float,
    reads: Collection[str],
    numbers: Sequence[str],
    parts: Sequence[str],
    end: int,
    limit: int,
) -> RolloutBatch:
    """A whole rollout from verl's fields; `end` is the id of the EOS, `limit` the most tokens.

    A key is `<uid>_<sample>_<turn>`; rows with one uid are a group. `reads` are the columns that
    are wanted; `numbers`, of the data set's `extra_info` or the reward function's, become columns,
    and `parts` the one of the score's parts.
    """
    mask, tokens = padded(data["response_mask"]).bool(), padded(data["responses"])
    lengths = data["responses"].offsets().diff()
    scores = padded(data["rm_scores"]).sum(dim=1)
    last = tokens.gather(1, (lengths - 1).clamp(min=0)[:, None])[:, 0]
    prompts = torch.tensor([prompt_id(prompt_text(m)) for m in listed(data["raw_prompt"])])
    uids = sorted(set(listed(data["uid"])))
    judged = [(row or {}).get("reward_extra_info", {}) for row in listed(data["extra_fields"])]
    optional = {ours: padded(data[name]) for ours, name in FIELDS.items() if name in data}
    if "teacher_logprobs" in data:
        optional["teacher_logprobs"] = _of_response(data["teacher_logprobs"], lengths)
    if "answer_ids" in reads:
        answers = _given(judged, "pred")
        optional["answer_ids"] = torch.tensor([content_hash(str(answer)) for answer in answers])
    if numbers or parts:
        told = [{**x, **j} for x, j in zip(listed(data["extra_info"]), judged, strict=True)]
        optional |= {name: _numbers(told, name) for name in numbers}
    if parts:
        optional["reward_parts"] = torch.stack([_numbers(told, name) for name in parts], dim=1)
    return RolloutBatch.build(
        step=step,
        stage_step=step,
        seed=seed,
        mask=mask,
        truncated=(lengths >= limit) & (last != end),
        scores=scores,
        rewards=scores,
        correct=_correct(judged, scores, full_mark),
        group_ids=torch.tensor([uids.index(uid) for uid in listed(data["uid"])]),
        prompt_ids=prompts,
        sample_ids=torch.tensor([int(key.rsplit("_", 2)[1]) for key in keys]),
        **optional,
    )


def fields_of(
    batch: RolloutBatch, rows: Tensor, lengths: Tensor, *, there: Collection[str] = tuple(FIELDS)
) -> dict[str, Tensor]:
    """The batch's columns as fields of all `len(lengths)` rows of verl, 0 where `batch` has none.

    `rows` are the places of its rows among them: verl pads batches, and `keep` drops responses.
    What is `there` the worker has from verl.
    """
    fields, width = {}, int(lengths.max())
    for name, column in batch.columns.items():
        if name in there or (name in COLUMNS and COLUMNS[name].shape == "BK"):
            continue  # parts of the score are for the rollout's pieces alone
        if column.dim() == 1:
            fields[OWN + name] = column.new_zeros(len(lengths)).index_copy(0, rows, column)
            continue
        whole = column.new_zeros(len(lengths), width)
        whole[rows, : column.shape[1]] = column[:, :width]  # a step's rows may all be short
        fields[OWN + name] = jagged(whole, lengths)
    return fields


def tokens_of(data: Any, logprobs: Tensor, **made: Tensor) -> TokenBatch:
    """Rows of a micro-batch in the worker: our columns, verl's, and what carries the gradient;
    `made` where neither has it.
    """
    own = [name for name in data.keys() if name.startswith(OWN)]  # noqa: SIM118
    columns: dict[str, Any] = {name.removeprefix(OWN): padded(data[name]) for name in own}
    columns |= {ours: padded(data[name]) for ours, name in FIELDS.items() if name in data}
    return TokenBatch.build(**made | columns, logprobs=logprobs)


def listed(field: Any) -> list[Any]:
    """A field of Python objects, one per row, out of the wrappers of tensordict."""
    return [entry.data if hasattr(entry, "batch_size") else entry for entry in field]


def _of_response(field: Tensor, lengths: Tensor) -> Tensor:
    """[B, T]: of a field over prompt and response, what is about each response token."""
    rows = []
    for row, length in zip(field.unbind(), lengths.tolist(), strict=True):
        end = len(row) - 1  # an entry is about the token that follows it
        rows.append(row[end - length : end].reshape(length))
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)


def _correct(judged: Sequence[Mapping[str, Any]], scores: Tensor, full_mark: float) -> Tensor:
    """[B] bool: the reward function's `acc` where it gives one, else a full score."""
    full = (scores > full_mark - 1e-6).tolist()
    return torch.tensor([bool(r.get("acc", f)) for r, f in zip(judged, full, strict=True)])


def _numbers(rows: Sequence[Mapping[str, Any]], name: str) -> Tensor:
    """[B] of one entry of each row."""
    return torch.tensor([float(number) for number in _given(rows, name)])


def _given(rows: Sequence[Mapping[str, Any]], name: str) -> list[Any]:
    missing = sum(name not in row for row in rows)
    if missing:
        raise DataError(
            f"verl's rows have no `{name}` for {missing} of {len(rows)} responses, but the "
            "algorithm reads it. There is nothing to put in its place. Let the reward function "
            "return it, or the data set have it in extra_info, or choose another algorithm."
        )
    return [row[name] for row in rows]
