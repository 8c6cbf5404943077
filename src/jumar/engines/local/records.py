"""What a run writes down as it goes: a line per step, and the responses of each step."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jumar.disk import clear_errors, write_text
from jumar.engines.contract import Estimate

if TYPE_CHECKING:  # whoever reads a record needs no torch
    from jumar.engines.local.rollouts import Rollout


class Records:
    """`metrics.jsonl` and `rollouts/step-<n>.jsonl` of one run directory.

    Of several processes one `writes`.
    """

    def __init__(self, directory: Path, *, writes: bool = True) -> None:
        self.writes = writes
        self.metrics, self.rollouts = directory / "metrics.jsonl", directory / "rollouts"
        self.diagnostics = directory / "diagnostics.jsonl"

    def append(self, step: int, numbers: Mapping[str, float], digest: str | None) -> None:
        """A step's numbers; `digest` is a hash of its tokens and rewards."""
        self._add(self.metrics, {"step": step, **numbers, "digest": digest})

    def append_validation(self, step: int, estimates: Mapping[str, Estimate]) -> None:
        """A validation's estimates, each as [value, low, high]."""
        values = {name: [e.value, e.low, e.high] for name, e in estimates.items()}
        self._add(self.metrics, {"step": step, "validation": values})

    def append_diagnostics(self, step: int, what: str, numbers: Mapping[str, float | None]) -> None:
        """What was measured on demand, with its price."""
        self._add(self.diagnostics, {"step": step, "what": what, **numbers})

    def truncate(self, step: int) -> None:
        """Forget what happened after `step`: a resumed run does it again."""
        for file in (self.metrics, self.diagnostics) if self.writes else ():
            if file.exists():
                text = file.read_text(encoding="utf-8", errors="replace")
                rows = [row for row in map(parsed, text.splitlines()) if row is not None]
                kept = [row for row in rows if row.get("step", step + 1) <= step]
                write_text(file, "".join(json.dumps(row) + "\n" for row in kept))

    def total(self, name: str) -> float:
        """The sum of one number over all steps that are written down."""
        text = self.metrics.read_text(encoding="utf-8") if self.metrics.exists() else ""
        return float(sum(json.loads(line).get(name, 0.0) for line in text.splitlines()))

    def write_rollout(
        self, step: int, rollout: "Rollout", by_token: Mapping[int, Mapping[str, Any]]
    ) -> None:
        """Every kept response of a step with its score and the reason; some token by token."""
        if not self.writes:
            return
        path = self.rollouts / f"step-{step:06d}.jsonl"
        with clear_errors(path):
            path.parent.mkdir(exist_ok=True)
            with path.open("w", encoding="utf-8") as file:
                file.writelines(line + "\n" for line in response_lines(rollout, by_token))

    def _add(self, file: Path, row: Mapping[str, Any]) -> None:
        if self.writes:
            with clear_errors(file), file.open("a", encoding="utf-8") as lines:
                lines.write(json.dumps(row) + "\n")


def response_lines(
    rollout: "Rollout", by_token: Mapping[int, Mapping[str, Any]] | None = None
) -> Iterator[str]:
    """JSON for each response: prompt, text, score and the reason; `by_token` of some rows."""
    rows = zip(rollout.examples, rollout.texts, rollout.scores, strict=True)
    lengths = rollout.batch.mask.sum(dim=1).tolist()
    for number, ((example, text, score), tokens) in enumerate(zip(rows, lengths, strict=True)):
        row: dict[str, Any] = {
            "prompt": example.prompt,
            "answer": example.answer,
            "response": text,
            "tokens": tokens,
            "score": score.score,
            "correct": score.correct,
            "status": score.status,
            "extracted": score.extracted,
            "detail": score.detail,
        }
        if by_token and number in by_token:
            row["by_token"] = by_token[number]
        yield json.dumps(row)


def parsed(line: str) -> dict[str, Any] | None:
    """A row, or None for what is none: a line that a killed process left half-written."""
    try:
        row = json.loads(line)
    except json.JSONDecodeError:
        return None
    return row if isinstance(row, dict) else None
