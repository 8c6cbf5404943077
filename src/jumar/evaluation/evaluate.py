"""Ask a policy, score what it says, and keep everything: the record that all scores come from."""

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jumar.engines.contract import Estimate, Policy, Responses, Validation
from jumar.errors import ConfigurationError
from jumar.evaluation.estimators import avg, maj, pass_at
from jumar.evaluation.intervals import mean, paired_difference, share, unpaired_difference
from jumar.tasks.task import Example
from jumar.verifiers.pool import ScoringPool
from jumar.verifiers.score import STATUSES, Score


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Evaluation:
    """`samples` scored responses in a row for each of P examples, and how they were drawn."""

    examples: Sequence[Example]
    responses: Responses
    scores: Sequence[Score]
    samples: int
    temperature: float
    top_p: float
    seed: int

    @property
    def correct(self) -> NDArray[np.bool_]:
        """[P, samples]: earned the full mark."""
        return self._table([score.correct for score in self.scores], np.bool_)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """[P, samples]: tokens in the response."""
        return self._table(self.responses.tokens, np.int64)

    @property
    def truncated(self) -> NDArray[np.bool_]:
        """[P, samples]: cut at the length limit."""
        return self._table(self.responses.truncated, np.bool_)

    @property
    def answers(self) -> list[list[str | None]]:
        """[P][samples]: what the verifier took for the answer; None where it found none."""
        flat, n = [score.extracted for score in self.scores], self.samples
        return [flat[i : i + n] for i in range(0, len(flat), n)]

    @property
    def statuses(self) -> dict[str, int]:
        """Responses by outcome; all five are named, also those that did not happen."""
        counts = Counter(score.status for score in self.scores)
        return {status: counts[status] for status in STATUSES}

    def shares(self) -> dict[str, NDArray[np.float64]]:
        """One value in [0, 1] per prompt and score: pass@1, pass@2, 4, ... and n, avg@n, maj@n."""
        correct, n = self.correct, self.samples
        ks = sorted({1, n, *(2**i for i in range(1, n.bit_length()))})
        values = {f"pass@{k}": pass_at(correct, k) for k in ks}
        if n > 1:
            values |= {f"avg@{n}": avg(correct), f"maj@{n}": maj(correct, self.answers)}
        return values

    def estimates(self) -> dict[str, Estimate]:
        """Every score with its interval, and also `truncated` (a share) and `response_tokens`."""
        shares = {**self.shares(), "truncated": avg(self.truncated)}
        estimates = {name: share(values, samples=self.samples) for name, values in shares.items()}
        tokens = mean(self.lengths.mean(axis=1))
        estimates["response_tokens"] = Estimate(tokens.value, max(0.0, tokens.low), tokens.high)
        return estimates

    def to_dict(self) -> dict[str, Any]:
        """JSON-able: the protocol, the estimates as [value, low, high], counts of statuses."""
        return {
            "prompts": len(self.examples),
            "samples": self.samples,
            "temperature": self.temperature,
            "top_p": self.top_p,
            "seed": self.seed,
            "estimates": {name: as_list(value) for name, value in self.estimates().items()},
            "statuses": self.statuses,
        }

    def rows(self) -> Iterator[dict[str, Any]]:
        """JSON-able, one per response: what was asked and said, what it earned and why."""
        said = self.responses
        for i, score in enumerate(self.scores):
            example = self.examples[i // self.samples]
            yield {
                "prompt": example.prompt,
                "answer": example.answer,
                "sample": i % self.samples,
                "response": said.texts[i],
                "tokens": int(said.tokens[i]),
                "truncated": bool(said.truncated[i]),
                "score": score.score,
                "correct": score.correct,
                "status": score.status,
                "extracted": score.extracted,
                "detail": score.detail,
            }

    def _table(self, flat: Sequence[Any], kind: type[Any]) -> NDArray[Any]:
        return np.asarray(flat, dtype=kind).reshape(len(self.examples), self.samples)


def evaluate(
    policy: Policy, pool: ScoringPool, examples: Sequence[Example], *,
    samples: int = 1, temperature: float = 1.0, top_p: float = 1.0, seed: int = 0,
) -> Evaluation:  # fmt: skip
    """`samples` responses to each example, scored. Greedy is temperature=0 with one sample."""
    if not examples:
        raise ConfigurationError(
            "An evaluation was asked for without prompts, and it needs at least one to have a "
            "score. The split is empty. Name another split, or raise the number of prompts."
        )
    if samples < 1 or (temperature == 0 and samples > 1):
        raise ConfigurationError(
            f"An evaluation was asked for samples={samples} at temperature={temperature}, and it "
            "needs one or more samples that can differ: greedy decoding gives the same response "
            "each time. Set samples=1, or a temperature above 0."
        )
    responses = policy.respond(
        examples, samples=samples, temperature=temperature, top_p=top_p, seed=seed
    )
    asked = [example for example in examples for _ in range(samples)]
    return Evaluation(
        examples=examples,
        responses=responses,
        scores=pool.score(responses.texts, asked),
        samples=samples,
        temperature=temperature,
        top_p=top_p,
        seed=seed,
    )


def validation(
    pool: ScoringPool, examples: Sequence[Example], *,
    samples: int = 1, temperature: float = 1.0, top_p: float = 1.0, seed: int = 0,
) -> Validation:  # fmt: skip
    """What a trainer calls every so often: the estimates of its policy on these examples.

    Every call draws with the same seed, so that a curve moves because the policy did.
    """

    def validate(policy: Policy, step: int) -> Mapping[str, Estimate]:
        return evaluate(
            policy, pool, examples,
            samples=samples, temperature=temperature, top_p=top_p, seed=seed,
        ).estimates()  # fmt: skip

    return validate


def compare(after: Evaluation, before: Evaluation) -> dict[str, Estimate]:
    """The change of every score that both have; paired where both answered the same prompts."""
    ids = [[example.prompt_id for example in run.examples] for run in (after, before)]
    difference = paired_difference if ids[0] == ids[1] else unpaired_difference
    new, old = after.shares(), before.shares()
    samples = (after.samples, before.samples)
    return {name: difference(new[name], old[name], samples=samples) for name in new if name in old}


def as_list(estimate: Estimate) -> list[float | None]:
    """[value, low, high] for JSON, which has no infinity: None where nothing is known."""
    numbers = (estimate.value, estimate.low, estimate.high)
    return [number if math.isfinite(number) else None for number in numbers]


def write(evaluation: Evaluation, path: Path) -> None:
    """JSON lines: how it was drawn, then every response with its score and the reason."""
    path.parent.mkdir(parents=True, exist_ok=True)
    protocol = {
        name: getattr(evaluation, name) for name in ("samples", "temperature", "top_p", "seed")
    }
    lines = [json.dumps(row) for row in (protocol, *evaluation.rows())]
    unfinished = path.with_suffix(".tmp")
    unfinished.write_text("\n".join(lines) + "\n", encoding="utf-8")
    unfinished.replace(path)


def read(path: Path) -> Evaluation:
    """What `write` wrote."""
    protocol, *rows = map(json.loads, path.read_text(encoding="utf-8").splitlines())
    responses = Responses(
        texts=[row["response"] for row in rows],
        tokens=[row["tokens"] for row in rows],
        truncated=[row["truncated"] for row in rows],
    )
    names = ("score", "correct", "status", "extracted", "detail")
    return Evaluation(
        examples=[
            Example(prompt=row["prompt"], answer=row["answer"])
            for row in rows[:: protocol["samples"]]
        ],
        responses=responses,
        scores=[Score(**{name: row[name] for name in names}) for row in rows],
        **protocol,
    )
