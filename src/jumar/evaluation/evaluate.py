"""Ask a policy, score what it says, and keep everything: the record that all scores come from."""

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jumar.disk import write_text
from jumar.engines.contract import Estimate, Policy, Responses, Validation
from jumar.errors import ConfigurationError, DataError
from jumar.evaluation.estimators import avg, maj, pass_at
from jumar.evaluation.intervals import mean, share
from jumar.evaluation.judge import Judge, Opinion, question
from jumar.evaluation.protocol import Protocol, digest, protocol
from jumar.tasks.task import Example
from jumar.verifiers.pool import ScoringPool
from jumar.verifiers.score import STATUSES, Score

DRAWN = ("samples", "temperature", "top_p", "seed")
SCORE = ("score", "correct", "status", "extracted", "detail")  # of a stored row
REFUSED = ("wrong", "unparseable")  # what a judge may see otherwise; the rest has no answer


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Evaluation:
    """`samples` scored responses in a row for each of P examples, and how they were drawn.

    Where a judge was asked, `opinions` has one entry per response, None where it had no question.
    """

    examples: Sequence[Example]
    responses: Responses
    scores: Sequence[Score]
    samples: int
    temperature: float
    top_p: float
    seed: int
    protocol: Protocol = field(default_factory=dict)  # {}: nobody knows
    judge: Mapping[str, str] | None = None
    opinions: Sequence[Opinion | None] = ()

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
    def digest(self) -> str:
        """The short name of its protocol."""
        return digest(self.protocol)

    @property
    def statuses(self) -> dict[str, int]:
        """Responses by outcome; all five are named, also those that did not happen."""
        counts = Counter(score.status for score in self.scores)
        return {status: counts[status] for status in STATUSES}

    def shares(self) -> dict[str, NDArray[np.float64]]:
        """One value in [0, 1] per prompt and score: pass@1 to pass@n, avg@n and maj@n."""
        correct, n = self.correct, self.samples
        values = {f"pass@{k}": pass_at(correct, k) for k in range(1, n + 1)}
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

    def judged(self) -> dict[str, Any]:
        """JSON-able: how often the judge agrees with a refusal, would accept it or has no opinion,
        and pass@1 as it would be by the judge; {} where none was asked.
        """
        if self.judge is None:
            return {}
        given = [opinion for opinion in self.opinions if opinion is not None]
        accepted = [opinion is not None and opinion.accepts is True for opinion in self.opinions]
        either = avg(self.correct | self._table(accepted, np.bool_))
        return {
            **self.judge,
            "asked": len(given),
            "agrees": sum(opinion.accepts is False for opinion in given),
            "accepts": sum(accepted),
            "no_opinion": dict(Counter(o.cause for o in given if o.accepts is None)),
            "judge_pass@1": as_list(share(either, samples=self.samples)),
        }

    def to_dict(self) -> dict[str, Any]:
        """JSON-able: how it was drawn, the estimates as [value, low, high], counts of statuses, the
        protocol with its digest, and the judge's part where one was asked.
        """
        judged = self.judged()
        return {
            "prompts": len(self.examples),
            "samples": self.samples,
            "temperature": self.temperature,
            "top_p": self.top_p,
            "seed": self.seed,
            "estimates": {name: as_list(value) for name, value in self.estimates().items()},
            "statuses": self.statuses,
            "protocol": {"digest": self.digest, "parts": self.protocol},
            **({"judge": judged} if judged else {}),
        }

    def rows(self) -> Iterator[dict[str, Any]]:
        """JSON-able, one per response: what was asked and said, what it earned and why."""
        said = self.responses
        for i, score in enumerate(self.scores):
            example = self.examples[i // self.samples]
            opinion = self.opinions[i] if self.opinions else None
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
                **({"judge": asdict(opinion)} if opinion else {}),
            }

    def _table(self, flat: Sequence[Any], kind: type[Any]) -> NDArray[Any]:
        return np.asarray(flat, dtype=kind).reshape(len(self.examples), self.samples)


def evaluate(
    policy: Policy, pool: ScoringPool, examples: Sequence[Example], *,
    samples: int = 1, temperature: float = 1.0, top_p: float = 1.0, seed: int = 0,
    conditions: Mapping[str, Any] | None = None,
) -> Evaluation:  # fmt: skip
    """`samples` responses to each example, scored. Greedy is temperature=0 with one sample.

    `conditions` are what else decides what a score means; see `protocol.conditions`.
    """
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
        protocol=protocol(
            examples, pool.verifier,
            samples=samples, temperature=temperature, top_p=top_p, conditions=conditions or {},
        ),
    )  # fmt: skip


def second_opinions(evaluation: Evaluation, judge: Judge) -> Evaluation:
    """The same with the judge's opinion of each refused response whose example has a gold text."""
    asked = [
        score.status in REFUSED and bool(evaluation.examples[i // evaluation.samples].answer)
        for i, score in enumerate(evaluation.scores)
    ]
    rows = evaluation.rows()
    questions = [
        question(row["prompt"], row["answer"], row["response"])
        for row, ask in zip(rows, asked, strict=True)
        if ask
    ]
    given = iter(judge.opinions(questions))
    opinions = [next(given) if ask else None for ask in asked]
    return replace(evaluation, judge=judge.about, opinions=opinions)


def validation(
    pool: ScoringPool, examples: Sequence[Example], directory: Path | None, *,
    samples: int = 1, temperature: float = 1.0, top_p: float = 1.0, seed: int = 0,
    conditions: Mapping[str, Any] | None = None,
) -> Validation:  # fmt: skip
    """What a trainer calls every so often: the estimates of its policy on these examples. The
    responses are kept in `directory`, if there is one, a file for each step.

    Every call draws with the same seed, so that a curve moves because the policy did.
    """

    def validate(policy: Policy, step: int) -> Mapping[str, Estimate]:
        found = evaluate(
            policy, pool, examples,
            samples=samples, temperature=temperature, top_p=top_p, seed=seed, conditions=conditions,
        )  # fmt: skip
        if directory is not None:
            write(found, directory / f"step-{step:06d}.jsonl")
        return found.estimates()

    return validate


def as_list(estimate: Estimate) -> list[float | None]:
    """[value, low, high] for JSON, which has no infinity: None where nothing is known."""
    numbers = (estimate.value, estimate.low, estimate.high)
    return [number if math.isfinite(number) else None for number in numbers]


def write(evaluation: Evaluation, path: Path) -> None:
    """JSON lines: how it was drawn and by which protocol, then every response with its score."""
    head = {
        **{name: getattr(evaluation, name) for name in DRAWN},
        "protocol": {"digest": evaluation.digest, "parts": evaluation.protocol},
        "judge": evaluation.judge,
    }
    lines = [json.dumps(row) for row in (head, *evaluation.rows())]
    write_text(path, "\n".join(lines) + "\n")


def read(path: Path) -> Evaluation:
    """What `write` wrote; a file of an earlier version has no protocol."""
    try:
        head, *rows = map(json.loads, path.read_text(encoding="utf-8").splitlines())
        return _restored(head, rows)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"The responses in {path} are damaged ({type(error).__name__}: {error}), and scores "
            "need all of them. Remove the file and evaluate again."
        ) from error


def _restored(head: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> Evaluation:
    if not rows or len(rows) % head["samples"]:
        raise ValueError(f"{len(rows)} responses, {head['samples']} to each prompt")
    responses = Responses(
        texts=[row["response"] for row in rows],
        tokens=[row["tokens"] for row in rows],
        truncated=[row["truncated"] for row in rows],
    )
    opinions = [Opinion(**row["judge"]) if row.get("judge") else None for row in rows]
    return Evaluation(
        examples=[
            Example(prompt=row["prompt"], answer=row["answer"]) for row in rows[:: head["samples"]]
        ],
        responses=responses,
        scores=[Score(**{name: row[name] for name in SCORE}) for row in rows],
        protocol=head.get("protocol", {}).get("parts", {}),
        judge=head.get("judge"),
        opinions=opinions,
        **{name: head[name] for name in DRAWN},
    )
