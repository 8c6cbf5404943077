"""Benchmarks with an official test split: where their rows come from, and how the rest is split."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from jumar.errors import ConfigurationError
from jumar.tasks.rows import Row, hub_rows, json_lines
from jumar.tasks.spec import canonical, refuse_unknown
from jumar.tasks.task import Example, PromptTemplate, Task, split_by_hash, without_repeats
from jumar.verifiers.score import VerifierSpec

VALIDATION = 0.05  # of the official training split
OPTIONS = ("train", "test", "path", "second_opinion")


@dataclass(frozen=True, slots=True, kw_only=True)
class Benchmark:
    """What tells one benchmark from another."""

    name: str
    example: Callable[[Row, str], Example]  # (row, where it stands) -> example
    hub: tuple[str, str | None]  # name and configuration on the hub
    variable: str  # environment variable with a directory of train.jsonl and test.jsonl
    template: PromptTemplate
    verifier: VerifierSpec = field(default_factory=lambda: VerifierSpec("math"))


def benchmark_task(benchmark: Benchmark, options: Mapping[str, str]) -> Task:
    """Official test split; training rows without repeats of it, split into train and validation."""
    refuse_unknown(benchmark.name, options, OPTIONS)
    files = _files(benchmark, options)
    test = without_repeats(_examples(benchmark, "test", files))
    in_test = {example.prompt_id for example in test}
    rest = (e for e in _examples(benchmark, "train", files) if e.prompt_id not in in_test)
    train, validation, _ = split_by_hash(without_repeats(rest), validation=VALIDATION, test=0.0)
    verifier = benchmark.verifier
    if options.get("second_opinion", "false").lower() == "true":
        verifier = VerifierSpec(verifier.kind, {**verifier.options, "second_opinion": True})
    return Task(
        name=canonical(benchmark.name, options),
        train=train,
        validation=validation,
        test=test,
        template=benchmark.template,
        verifier=verifier,
    )


def _files(benchmark: Benchmark, options: Mapping[str, str]) -> dict[str, Path] | None:
    """Local files per split; None: the hub."""
    named = {split: Path(options[split]) for split in ("train", "test") if split in options}
    if named and "path" in options:
        raise ConfigurationError(
            f"The task {benchmark.name!r} was given path= and {' and '.join(named)}=, and it needs "
            "one place to read from, to be clear. Give a directory or files."
        )
    if named:
        return named
    directory = options.get("path") or os.environ.get(benchmark.variable)
    if not directory:
        return None
    found = {split: Path(directory) / f"{split}.jsonl" for split in ("train", "test")}
    found = {split: file for split, file in found.items() if file.expanduser().is_file()}
    if not found:
        raise ConfigurationError(
            f"The task {benchmark.name!r} needs train.jsonl or test.jsonl in {directory}, because "
            "path= or the environment names that directory, but neither is there. Check it."
        )
    return found


def _examples(
    benchmark: Benchmark, split: str, files: Mapping[str, Path] | None
) -> Iterator[Example]:
    rows: Iterable[tuple[str, Row]]
    if files is None:
        name, config = benchmark.hub
        instead = f"name local files: {benchmark.name}?train=PATH.jsonl&test=PATH.jsonl"
        fetched = hub_rows(name, config, split, instead)
        rows = ((f"{name}, {split} row {i}", row) for i, row in enumerate(fetched))
    elif split in files:
        file = files[split]
        rows = ((f"{file}, line {at}", row) for at, row in json_lines(file))
    else:
        rows = ()
    for where, row in rows:
        yield benchmark.example(row, where)
