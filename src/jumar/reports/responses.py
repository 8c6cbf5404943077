"""Responses for a page that shows them: chosen evenly over the steps, and packed small.

Numbers by token travel as whole thousandths and tokens as places in one list of texts, each in
three letters of base 64, or as a single number where all tokens have the same: a response of 100
tokens takes about 1 kB.
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from jumar.engines.local.records import parsed
from jumar.reports.series import evenly

LIMIT = 2_000  # responses
SIZE = 3_500_000  # bytes of them all, packed
SHOWN = 20_000  # characters of a text
COLUMNS = ("weight", "advantage", "ratio", "reference", "teacher")
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
MIDDLE = 64**3 // 2  # stands for 0; the smallest number stands for one that is not finite
NEEDED = {"prompt", "answer", "response", "tokens", "score", "status"}
MARK = '"by_token": '  # in a line's text only as its key: inside a string the quotes are escaped


@dataclass(frozen=True, slots=True)
class Chosen:
    """Rows of some steps as `rollouts/` holds them, and how many there are in all."""

    rows: Sequence[tuple[int, Mapping[str, Any]]]  # (step, row), by step
    written: int


def chosen(directory: Path, *, limit: int = LIMIT) -> Chosen:
    """Up to `limit` responses of a run, as many of each step, those with numbers by token first."""
    files = sorted((directory / "rollouts").glob("step-*.jsonl"))
    picked = {files[i] for i in evenly(len(files), limit)}
    each, rows, written = max(1, limit // max(1, len(picked))), [], 0
    for file in files:
        with file.open(encoding="utf-8", errors="replace") as text:
            lines = list(text)
        written += len(lines)
        if file in picked:
            step = int(file.stem.removeprefix("step-"))
            ordered = sorted(lines, key=lambda line: MARK not in line)
            rows += [(step, row) for row in islice(_rows(ordered), each)]
    return Chosen(rows, written)


def packed(found: Chosen, *, size: int = SIZE) -> dict[str, Any]:
    """JSON-able, at most `size` bytes as JSON: fewer responses where they are long.

    `start` is the response to begin with: of the newest step that has numbers by token, the one
    whose numbers differ most.
    """
    rows = found.rows
    while True:
        data = _packed(rows)
        length = len(in_short(data))
        if length <= size or len(rows) == 1:
            break
        rows = [rows[i] for i in evenly(len(rows), max(1, int(0.95 * len(rows) * size / length)))]
    return {**data, "written": found.written, "start": _start(rows)}


def in_short(data: Any) -> str:
    """JSON without spaces that cannot end the script it stands in; a number that is not finite is
    refused, since JSON has none.
    """
    return json.dumps(data, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")


def cut(text: str, limit: int = SHOWN) -> dict[str, Any]:
    """The text, or its beginning and how many characters are left out."""
    return {"text": text[:limit]} | ({"cut": len(text) - limit} if len(text) > limit else {})


def _packed(rows: Sequence[tuple[int, Mapping[str, Any]]]) -> dict[str, Any]:
    prompts: dict[tuple[str, str], int] = {}
    vocabulary: dict[str, int] = {}
    responses = [_response(step, row, prompts, vocabulary) for step, row in rows]
    asked = [{"prompt": cut(prompt), "answer": cut(answer)} for prompt, answer in prompts]
    return {"prompts": asked, "vocabulary": list(vocabulary), "responses": responses}


def _response(
    step: int,
    row: Mapping[str, Any],
    prompts: dict[tuple[str, str], int],
    vocabulary: dict[str, int],
) -> dict[str, Any]:
    packed = {
        "step": step,
        "prompt": prompts.setdefault((row["prompt"], row["answer"]), len(prompts)),
        "status": row["status"],
        "score": _number(row["score"]),
        "tokens": row["tokens"],
    }
    for name in ("extracted", "detail"):
        if row.get(name):
            packed[name] = cut(row[name])
    by_token = row.get("by_token")
    if by_token is None:
        return packed | {"response": cut(row["response"])}
    texts = by_token["text"]
    packed["texts"] = _letters([vocabulary.setdefault(t, len(vocabulary)) for t in texts])
    numbers = {name: by_token[name] for name in COLUMNS if name in by_token}
    packed["numbers"] = {name: _thousandths(values) for name, values in numbers.items()}
    if "\ufffd" in "".join(texts):  # a character whose bytes are spread over tokens
        packed["response"] = cut(row["response"])
    return packed


def _thousandths(values: Sequence[float]) -> str | int:
    """Letters, or one number where all are the same; far ones stay at the end of the range."""
    end = MIDDLE - 1
    whole = [max(-end, min(end, round(1000 * x))) if math.isfinite(x) else -MIDDLE for x in values]
    return whole[0] if len(set(whole)) == 1 else _letters(whole)


def _letters(whole: Sequence[int]) -> str:
    """Three letters for each number."""
    moved = (number + MIDDLE for number in whole)
    return "".join(LETTERS[n >> 12] + LETTERS[n >> 6 & 63] + LETTERS[n & 63] for n in moved)


def _start(rows: Sequence[tuple[int, Mapping[str, Any]]]) -> int:
    """The place of the response to begin with; the first of the newest step without such ones."""
    last = max((step for step, row in rows if "by_token" in row), default=None)
    if last is None:
        newest = max((step for step, _ in rows), default=0)
        return next((i for i, (step, _) in enumerate(rows) if step == newest), 0)
    return max(
        (i for i, (step, row) in enumerate(rows) if step == last and "by_token" in row),
        key=lambda i: _spread(rows[i][1]["by_token"]),
    )


def _spread(by_token: Mapping[str, Any]) -> float:
    name = next((name for name in ("weight", "reference", "teacher") if name in by_token), None)
    values = [value for value in by_token.get(name or "", ()) if math.isfinite(value)]
    return max(values) - min(values) if values else 0.0


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _rows(lines: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Those that are whole responses: the run may be writing the last one."""
    return (row for row in map(parsed, lines) if row is not None and row.keys() >= NEEDED)
