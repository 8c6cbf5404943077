"""Benchmarks and training sets: where their rows come from, and how they are split."""

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from jumar.errors import ConfigurationError, DataError
from jumar.tasks.readers import Reader
from jumar.tasks.rows import Row, hub_rows, json_lines
from jumar.tasks.spec import canonical, refuse_unknown
from jumar.tasks.task import Example, PromptTemplate, Task, split_by_hash, without_repeats
from jumar.verifiers.score import VerifierSpec

VALIDATION = 0.05  # of the official training split
TEST = 0.05  # of a training set, which has no official test split
Files = Mapping[str, Path]


@dataclass(frozen=True, slots=True, kw_only=True)
class Benchmark:
    """What tells one data set from another. A test-only one has no training split to name."""

    name: str
    about: str  # a line for people
    read: Reader
    hub: str
    config: str | None = None
    splits: Mapping[str, str]  # "train", "test" or both: what the hub calls them
    size: int | None = None  # rows of the test split on the hub, where that is known
    columns: tuple[str, ...] = ()  # all that is read of a data set with heavy others
    template: PromptTemplate
    verifier: VerifierSpec = field(default_factory=lambda: VerifierSpec("math"))

    @property
    def variable(self) -> str:
        """The environment variable that may hold a directory or a file."""
        return f"JUMAR_{self.name.upper()}"

    @property
    def files(self) -> str:
        """The names that a directory may hold, for messages."""
        return " or ".join(f"{split}.jsonl" for split in self.splits)


def benchmark_task(benchmark: Benchmark, options: Mapping[str, str]) -> Task:
    """The official test split, but for repeats; the rest, without its prompts, split by hash."""
    refuse_unknown(benchmark.name, options, (*benchmark.splits, "path", "second_opinion"))
    files = _files(benchmark, options)
    official = without_repeats(_examples(benchmark, "test", files))
    in_test = {example.prompt_id for example in official}
    rest = (e for e in _examples(benchmark, "train", files) if e.prompt_id not in in_test)
    train, validation, test = split_by_hash(
        without_repeats(rest),
        validation=VALIDATION,
        test=0.0 if "test" in benchmark.splits else TEST,
    )
    verifier = benchmark.verifier
    if options.get("second_opinion", "false").lower() == "true":
        verifier = VerifierSpec(verifier.kind, {**verifier.options, "second_opinion": True})
    return Task(
        name=canonical(benchmark.name, options),
        train=train,
        validation=validation,
        test=official or test,
        template=benchmark.template,
        verifier=verifier,
    )


def _files(benchmark: Benchmark, options: Mapping[str, str]) -> Files | None:
    """Local files per split; None: the hub."""
    named = {
        split: Path(options[split]).expanduser() for split in benchmark.splits if split in options
    }
    if named and "path" in options:
        raise ConfigurationError(
            f"The task {benchmark.name!r} was given path= and {' and '.join(named)}=, and it needs "
            "one place to read from, to be clear. Give a directory or files."
        )
    if named:
        return named
    place = options.get("path") or os.environ.get(benchmark.variable)
    return _found(benchmark, Path(place).expanduser()) if place else None


def _found(benchmark: Benchmark, place: Path) -> Files:
    """The files of a directory, or the one file where the benchmark has one split."""
    if os.path.isfile(place) and len(benchmark.splits) == 1:
        return dict.fromkeys(benchmark.splits, place)
    found = {split: place / f"{split}.jsonl" for split in benchmark.splits}
    found = {split: file for split, file in found.items() if os.path.isfile(file)}
    if not found:
        instead = "" if len(benchmark.splits) > 1 else ", or a file of JSON lines in its place"
        raise ConfigurationError(
            f"The task {benchmark.name!r} needs {benchmark.files} in {place}{instead}, because "
            f"path= or ${benchmark.variable} names that place, but there is none. "
            f"Check it, or name files: {_spec_of_files(benchmark)}."
        )
    return found


def _examples(benchmark: Benchmark, split: str, files: Files | None) -> Iterator[Example]:
    """What is read from the split's rows; nothing where there is no such split or file."""
    for where, row in _rows(benchmark, split, files):
        example = benchmark.read(row, where)
        if example is not None:
            yield example


def _rows(benchmark: Benchmark, split: str, files: Files | None) -> Iterable[tuple[str, Row]]:
    """(where it stands, row). A file is the user's own and may be of any size, the hub's not."""
    if files is not None:
        lines = json_lines(files[split]) if split in files else ()
        return ((f"{files[split]}, line {at}", row) for at, row in lines)
    if split not in benchmark.splits:
        return ()
    hub, theirs = benchmark.hub, benchmark.splits[split]
    rows: Iterable[Row] = hub_rows(
        hub,
        benchmark.config,
        theirs,
        columns=benchmark.columns,
        instead=f"name local files: {_spec_of_files(benchmark)}",
    )
    if split == "test" and benchmark.size is not None:
        rows = list(rows)
        _check_size(benchmark, len(rows))
    return ((f"{hub}, {theirs} row {i}", row) for i, row in enumerate(rows))


def _check_size(benchmark: Benchmark, found: int) -> None:
    if found != benchmark.size:
        raise DataError(
            f"The benchmark {benchmark.name!r} needs its {benchmark.size} questions, because "
            f"its scores are compared with others', but {benchmark.hub} has {found} on the hub "
            "or in its cache. Fetch it again, or name a file of your own: "
            f"{_spec_of_files(benchmark)}."
        )


def _spec_of_files(benchmark: Benchmark) -> str:
    given = "&".join(f"{split}=PATH.jsonl" for split in benchmark.splits)
    return f"{benchmark.name}?{given}"
