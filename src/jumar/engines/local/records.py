"""What a run writes down as it goes: a line per step, and the responses of each step."""

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from jumar.engines.contract import Estimate
from jumar.engines.local.rollouts import Rollout


class Records:
    """`metrics.jsonl` and `rollouts/step-<n>.jsonl` of one run directory."""

    def __init__(self, directory: Path) -> None:
        self.metrics, self.rollouts = directory / "metrics.jsonl", directory / "rollouts"

    def append(self, step: int, numbers: Mapping[str, float], digest: str | None) -> None:
        """A step's numbers; `digest` is a hash of its tokens and rewards."""
        self._line({"step": step, **numbers, "digest": digest})

    def append_validation(self, step: int, estimates: Mapping[str, Estimate]) -> None:
        """A validation's estimates, each as [value, low, high]."""
        values = {name: [e.value, e.low, e.high] for name, e in estimates.items()}
        self._line({"step": step, "validation": values})

    def _line(self, row: Mapping[str, Any]) -> None:
        with self.metrics.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")

    def truncate(self, step: int) -> None:
        """Forget what happened after `step`: a resumed run does it again."""
        if not self.metrics.exists():
            return
        kept = [
            line
            for line in self.metrics.read_text(encoding="utf-8").splitlines()
            if (row := _parsed(line)) is not None and row["step"] <= step
        ]
        whole = self.metrics.with_suffix(".tmp")
        whole.write_text("".join(line + "\n" for line in kept), encoding="utf-8")
        os.replace(whole, self.metrics)

    def total(self, name: str) -> float:
        """The sum of one number over all steps that are written down."""
        text = self.metrics.read_text(encoding="utf-8") if self.metrics.exists() else ""
        return float(sum(json.loads(line).get(name, 0.0) for line in text.splitlines()))

    def write_rollout(self, step: int, rollout: Rollout) -> None:
        """Every kept response of a step with its score and the reason."""
        self.rollouts.mkdir(exist_ok=True)
        with (self.rollouts / f"step-{step:06d}.jsonl").open("w", encoding="utf-8") as file:
            file.writelines(line + "\n" for line in response_lines(rollout))


def response_lines(rollout: Rollout) -> Iterator[str]:
    """JSON for each response: prompt, text, score and the reason."""
    rows = zip(rollout.examples, rollout.texts, rollout.scores, strict=True)
    lengths = rollout.batch.mask.sum(dim=1).tolist()
    for (example, text, score), tokens in zip(rows, lengths, strict=True):
        row = {
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
        yield json.dumps(row)


def _parsed(line: str) -> dict[str, Any] | None:
    """A row, or None for a line that a killed process left half-written."""
    try:
        row: dict[str, Any] = json.loads(line)
    except json.JSONDecodeError:
        return None
    return row
