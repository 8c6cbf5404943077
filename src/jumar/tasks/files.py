"""`file:PATH.jsonl`: your own rows, with a prompt and an answer column and the verifier they name.

    file:questions.jsonl?verifier=math
    file:train.jsonl?test=test.jsonl&prompt=instruction&answer=target&verifier=my_rewards:length
    file:exam.jsonl?verifier=choice                    a column of choices; the answer is a letter
    file:programs.jsonl?verifier=code                  a column of tests, to be passed by a program

Columns response, chosen, rejected and reward are kept for methods that learn from stored rows;
every other column goes into the metadata, which reward functions see.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jumar.errors import ConfigurationError, DataError, MissingColumnError
from jumar.tasks.choices import asked, choices_of, gold_letter
from jumar.tasks.programs import LIMITS, limits, tests_of
from jumar.tasks.rows import STORED, Row, json_lines, reward, text
from jumar.tasks.spec import canonical, refuse_unknown
from jumar.tasks.task import Example, PromptTemplate, Task, split_by_hash, without_repeats
from jumar.tasks.templates import BOXED, LETTER, ONE_LINE, PROGRAM
from jumar.verifiers.extract import boxed_answer, hash_answer
from jumar.verifiers.gym import own_scorer
from jumar.verifiers.jsonable import to_json
from jumar.verifiers.score import VerifierSpec

OPTIONS = ("prompt", "answer", "verifier", "test", "validation", "template", "second_opinion")
VALIDATION, TEST = 0.1, 0.1
ALIASES = {
    "prompt": ("prompt", "question", "problem"),
    "answer": ("answer", "gold", "target", "solution"),
    "choices": ("choices", "options"),
    "tests": ("tests",),
}
VERIFIERS = ("math", "gsm8k", "exact", "choice", "code", "gym:NAME", "module:function")
TEMPLATES = {"math": BOXED, "choice": LETTER, "code": PROGRAM, "gsm8k": ONE_LINE, "exact": ONE_LINE,
             "gym": ONE_LINE}  # fmt: skip
OPTIONS_OF = {
    "choice": (*OPTIONS, "choices"),
    "code": ("prompt", "tests", "verifier", "test", "validation", "template", *LIMITS),
}


def file_task(path: str, options: Mapping[str, str]) -> Task:
    """The task of one file; splits from `test=` and `validation=` files, else by hash 80/10/10."""
    spec = f"file:{path}"
    refuse_unknown(spec, options, OPTIONS_OF.get(options.get("verifier", ""), OPTIONS))
    columns = _columns(path, options)
    verifier = _verifier(spec, options, columns)
    splits = _splits(path, options, columns, verifier)
    given = TEMPLATES.get(verifier.kind, PromptTemplate())
    template = PromptTemplate(user=options.get("template", given.user))
    train, validation, test = splits
    return Task(
        name=canonical(spec, options),
        train=train,
        validation=validation,
        test=test,
        template=template,
        verifier=verifier,
    )


@dataclass(frozen=True, slots=True)
class _Columns:
    """Which column is what; answer is None where the file has stored rows only."""

    prompt: str
    answer: str | None
    choices: str | None = None


def _columns(path: str, options: Mapping[str, str]) -> _Columns:
    first = next((row for _, row in json_lines(path)), None)
    if first is None:
        raise DataError(
            f"The file {path} needs rows, to have prompts, but it is empty. Check the path."
        )
    stored = [name for name in (*STORED, "reward") if name in first]
    prompt = _column(path, "prompt", options, first)
    if options.get("verifier") == "code":
        return _Columns(prompt, _column(path, "tests", options, first))
    wants_answer = "answer" in options or "verifier" in options or not stored
    has_answer = any(name in first for name in ALIASES["answer"])
    if not wants_answer and not has_answer:
        return _Columns(prompt, None)
    answer = _column(path, "answer", options, first)
    if options.get("verifier") != "choice":
        return _Columns(prompt, answer)
    return _Columns(prompt, answer, _column(path, "choices", options, first))


def _column(path: str, role: str, options: Mapping[str, str], row: Row) -> str:
    names = (options[role],) if role in options else ALIASES[role]
    found = next((name for name in names if name in row), None)
    if found is None:
        raise MissingColumnError(
            f"The file {path} needs a column {' or '.join(map(repr, names))} for the {role}, "
            "because a task is made of prompts and answers, but its columns are: "
            f"{', '.join(sorted(row))}. "
            f"Name yours with ?{role}=COLUMN."
        )
    return found


def _verifier(spec: str, options: Mapping[str, str], columns: _Columns) -> VerifierSpec:
    """The spec of the named verifier; kind "none" where a file has stored rows and no answers."""
    name = options.get("verifier")
    opinion = {"second_opinion": True} if options.get("second_opinion") == "true" else {}
    if name is None and columns.answer is None:
        return VerifierSpec("none")
    if name in ("math", "gsm8k", "exact", "choice"):
        return VerifierSpec(name, opinion)
    if name == "code":
        return VerifierSpec(name, limits(spec, options))
    if name and name.startswith("gym:"):
        dataset = name.removeprefix("gym:")
        own_scorer(dataset)
        return VerifierSpec("gym", {"dataset": dataset, "multiline": False})
    if name and ":" in name:
        return VerifierSpec("function", {"target": name})
    raise ConfigurationError(
        f"The task {spec!r} needs a verifier, to score responses against its answers, but "
        f"{'it names none' if name is None else repr(name) + ' is none'}. "
        f"Add ?verifier= with one of: {', '.join(VERIFIERS)}."
    )


def _splits(
    path: str, options: Mapping[str, str], columns: _Columns, verifier: VerifierSpec
) -> Sequence[list[Example]]:
    main = _unique(_examples(path, columns, verifier), verifier)
    others = {
        split: _unique(_examples(options[split], columns, verifier), verifier)
        for split in ("validation", "test")
        if split in options
    }
    taken = {example.prompt_id for rows in others.values() for example in rows}
    main = [example for example in main if example.prompt_id not in taken]
    train, validation, test = split_by_hash(
        main,
        validation=0.0 if "validation" in others else VALIDATION,
        test=0.0 if "test" in others else TEST,
    )
    return train, others.get("validation", validation), others.get("test", test)


def _unique(examples: Iterator[Example], verifier: VerifierSpec) -> list[Example]:
    """Stored rows may repeat a prompt (many responses each); prompts to sample from may not."""
    rows = list(examples)
    stored = verifier.kind == "none" or any(row.response or row.chosen for row in rows)
    return rows if stored else without_repeats(rows)


def _examples(path: str, columns: _Columns, verifier: VerifierSpec) -> Iterator[Example]:
    for at, row in json_lines(path):
        where = f"{path}, line {at}"
        stored = {name: text(row, name, where) for name in STORED if row.get(name) is not None}
        known = {columns.prompt, columns.answer, columns.choices, "reward", *STORED}
        prompt, answer = _question(row, columns, verifier, where)
        yield Example(
            prompt=prompt,
            answer=answer,
            metadata=to_json(_metadata(row, known)),
            reward=reward(row, where),
            **stored,
        )


def _metadata(row: Row, known: set[str | None]) -> dict[str, Any]:
    nested = row.get("metadata")
    others = {key: value for key, value in row.items() if key not in known and key != "metadata"}
    return {**others, **nested} if isinstance(nested, dict) else others


def _question(row: Row, columns: _Columns, verifier: VerifierSpec, where: str) -> tuple[str, str]:
    """(prompt, gold); lettered choices, where there are any, stand below the question."""
    prompt = text(row, columns.prompt, where)
    if columns.choices is None or columns.answer is None:
        return prompt, _answer(row, columns.answer, verifier, where)
    choices = choices_of(row, columns.choices, where)
    return asked(prompt, choices), gold_letter(row, columns.answer, choices, where)


def _answer(row: Row, column: str | None, verifier: VerifierSpec, where: str) -> str:
    """The gold: a solution that ends in `####` or a box is reduced to its answer."""
    if column is None:
        return ""
    if verifier.kind == "code":
        return tests_of(row, column, where)
    value = text(row, column, where)
    if verifier.kind == "gsm8k":
        return hash_answer(value) or value
    if verifier.kind == "math":
        return boxed_answer(value) or value
    return value
