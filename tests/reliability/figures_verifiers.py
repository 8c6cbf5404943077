"""Figures of what scores a model's text, and of what is trained on."""

import asyncio
import itertools
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from jumar import tasks
from jumar.errors import ConfigurationError
from jumar.tasks.check import gold_response
from jumar.verifiers import Score, ScoringPool, VerifierSpec
from jumar.verifiers.build import build
from jumar.verifiers.extract import final_answer
from jumar.verifiers.rational import number
from jumar.verifiers.sandbox import Sandbox, SandboxTimeoutError
from jumar.verifiers.score import Row
from tasks.samples import DATA
from verifiers import faults, hostile
from verifiers.escapes import ESCAPES, Outside
from verifiers.forged_answers import forged
from verifiers.forgeries import FORGERIES, PRINTED, PRINTING, TESTS

Result = tuple[int, int, list[str]]
Way = Callable[[ScoringPool, Sequence[str], Sequence[Row]], list[Score]]

FORMS = ("{}", "#### {}", "\\boxed{{}}", "Answer: {}")
NUMERIC = (
    VerifierSpec("gsm8k"),
    VerifierSpec("math"),
    VerifierSpec("exact"),
    VerifierSpec("gym", {"dataset": "chain_sum"}),
)
OTHERS = (
    VerifierSpec("choice"),
    VerifierSpec("gym", {"dataset": "countdown"}),
    VerifierSpec("gym", {"dataset": "complex_arithmetic"}),
    VerifierSpec("gym", {"dataset": "simple_integration"}),
)
ROW = Row("q", hostile.GOLD, {"numbers": [8, 3], "target": 24, "result": [1.0, 2.0],
                              "integrand": "x", "variable": "x"})  # fmt: skip


def in_the_main_thread(pool: ScoringPool, texts: Sequence[str], rows: Sequence[Row]) -> list[Score]:
    return pool.score(texts, rows)


def in_threads(pool: ScoringPool, texts: Sequence[str], rows: Sequence[Row]) -> list[Score]:
    found: dict[int, list[Score]] = {}

    def work(part: int) -> None:
        found[part] = pool.score(texts[part::4], rows[part::4])

    threads = [threading.Thread(target=work, args=(part,)) for part in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [found[at % 4][at // 4] for at in range(len(texts))]


def in_asyncio(pool: ScoringPool, texts: Sequence[str], rows: Sequence[Row]) -> list[Score]:
    async def work() -> list[Score]:
        half = len(texts) // 2
        direct = pool.score(texts[:half], rows[:half])
        return direct + await asyncio.to_thread(pool.score, texts[half:], rows[half:])

    return asyncio.run(work())


def scored_hostile(spec: VerifierSpec, way: Way, answers: Mapping[str, str]) -> Result:
    """Each answer in one of FORMS; and that every worker lives and p99 is at most a second."""
    forms = itertools.cycle(FORMS)
    texts = [next(forms).replace("{}", text, 1) for text in answers.values()]
    label = f"{spec.kind} {spec.options.get('dataset', '')} {way.__name__.replace('_', ' ')}"
    with ScoringPool(spec) as pool:
        pids = pool.worker_pids()
        scores = way(pool, texts, [ROW] * len(texts))
        alive, slowest = pool.worker_pids() == pids, pool.statistics()["seconds_p99"]
    notes = [
        f"{label}: {name} was {score.status}"
        for name, score in zip(answers, scores, strict=True)
        if score.status not in ("wrong", "unparseable")
    ]
    notes += [] if alive else [f"{label}: a worker died"]
    notes += [] if slowest <= 1.0 else [f"{label}: p99 is {slowest:.1f} s"]
    tried = len(answers) + 2
    return tried, tried - len(notes), notes


def r4() -> Result:
    """Answers that cost a careless verifier its time or its life (power towers, factorials, deep
    nesting, patterns that backtrack, a megabyte of text, null bytes, look-alikes, right-to-left
    marks), scored by eight verifiers from the main thread, and by `math` from threads and under
    asyncio, too; and for each of these ten runs that no worker died and that the 99th percentile
    is at most one second. Survived: marked wrong or unreadable, within its limits.
    """
    answers = hostile.answers()
    runs = [(spec, in_the_main_thread) for spec in (*NUMERIC, *OTHERS)]
    runs += [(VerifierSpec("math"), in_threads), (VerifierSpec("math"), in_asyncio)]
    return together(scored_hostile(spec, way, answers) for spec, way in runs)


def r5() -> Result:
    """Responses that want to be right without answering, for golds that are numbers (equations,
    lists of every number, the question again, several boxes, nothing worked out, percent signs, the
    format explained), with four verifiers; and reference solutions and golds of GSM8K, AIME 2024,
    AMC 2023, Minerva and OlympiadBench where their files are there. Survived: a forged response
    that is not right, a reference answer that is.
    """
    return together([forgeries_refused(), references_accepted()])


def forgeries_refused() -> Result:
    notes, responses = [], forged(number)
    for spec in NUMERIC:
        score = build(spec)
        notes += [
            f"{spec.kind} takes {response[:60]!r} for {gold}"
            for question, gold, response in responses
            if score(response, Row(question, gold)).correct
        ]
    tried = len(NUMERIC) * len(responses)
    return tried, tried - len(notes), notes


def references_accepted() -> Result:
    """Golds, and the solutions that mark their answer."""
    tried, notes = 0, []
    folders = {"minerva": "minerva_math"}
    for name in ("gsm8k", "aime24", "amc23", "minerva", "olympiadbench"):
        folder = folders.get(name, name)
        if not (DATA / folder / "test.jsonl").is_file():
            continue
        task = tasks.get(f"{name}?path={DATA / folder}")
        score = build(task.verifier)
        for row in (*task.train, *task.validation, *task.test):
            written = row.response if row.response and final_answer(row.response) else None
            for response in filter(None, (gold_response(task, row.answer), written)):
                tried += 1
                if not score(response, row).correct:
                    notes.append(f"{name} refuses {response[-60:]!r} for {row.answer[:40]!r}")
    return tried, tried - len(notes), notes


def r6() -> Result:
    """Reward functions that raise, hang, sleep, die, are killed, take all memory, or return
    nothing, no number, infinity, too much, the wrong type, length or form. Survived: the response
    is counted as crashed or timed out, with the reason, the next one is scored, and nothing is a
    silent 0; a negative zero is a zero, and `jumar check` tells a reward that changes.
    """
    return together(map(faults.told, [*faults.FAULTS, *faults.SPECIAL]))


def r7() -> Result:
    """Programs that try to get out of the sandbox of the verifier `code` (files, network,
    processes, environment, /proc, tracing, links, memory, output, signals, mounts, the interpreter
    itself) or to pass its tests without doing what they ask; and a machine without isolation.
    Survived: no effect outside, no test passed, and refused.
    """
    sandbox = Sandbox(cpu_seconds=1, memory_mb=256)
    return together([*(escaped(sandbox, name) for name in ESCAPES), forged_programs(), refused()])


def escaped(sandbox: Sandbox, name: str) -> Result:
    with tempfile.TemporaryDirectory() as directory, Outside(Path(directory)) as world:
        try:
            output = sandbox.run({"code": world.program(name)}, "", time.monotonic() + 10).output
        except SandboxTimeoutError:
            output = ""
        effects = world.effects(output)
    return 1, int(not effects), [f"{name}: {', '.join(effects)}"] if effects else []


def forged_programs() -> Result:
    programs = [(name, text, TESTS) for name, text in FORGERIES.items()]
    programs += [(f"prints {name}", text, PRINTED) for name, text in PRINTING.items()]
    with ScoringPool(VerifierSpec("code", {"cpu_seconds": 2, "memory_mb": 256})) as pool:
        scores = pool.score(
            [f"```python\n{text}\n```" for _, text, _ in programs],
            [Row("q", tests) for *_, tests in programs],
        )
    notes = [
        f"{name}: {score.detail}"
        for (name, *_), score in zip(programs, scores, strict=True)
        if score.score > 0 or score.status in ("crashed", "timed_out")
    ]
    return len(programs), len(programs) - len(notes), notes


def refused() -> Result:
    from jumar.verifiers import isolation

    found, isolation.shutil.which = isolation.shutil.which, lambda name: None
    isolation.isolating.cache_clear()
    try:
        Sandbox(cpu_seconds=1, memory_mb=256)
    except ConfigurationError:
        return 1, 1, []
    finally:
        isolation.shutil.which = found
        isolation.isolating.cache_clear()
    return 1, 0, ["programs run without bubblewrap"]


def r8() -> Result:
    """Source files in which a text could become code (eval, exec, parse_expr, sympify, pickle,
    os.system, shell=True, yaml.load, torch.load, trust_remote_code and the like). Survived: none,
    or none but places that a model's text does not reach, which scripts/sinks.py lists with their
    reasons; inside the sandbox of `code` running a text is the purpose.
    """
    sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))
    import sinks

    files = len(list(sinks.SOURCE.rglob("*.py")))
    new = sorted(sinks.places().keys() - sinks.PLACES.keys())
    return files, files - len({place.split(" ")[0] for place in new}), new


def r14() -> Result:
    """Tokenizers with and without chat template, BOS and thinking that the template strips, whose
    padding is a token of its own, the EOS or nothing: the prompt is the template's, and the tokens
    trained on are the ones sampled, one by one. Survived: the trainer's log-probs of what is to be
    trained on are those recorded when it was drawn, and the mask ends with the EOS.
    """
    sys.path.insert(0, str(Path(__file__).parents[1] / "engines" / "local"))
    from token_identity import CASES, differences

    found = {case: differences(case) for case in CASES}
    notes = [f"{case}: {words}" for case, words in found.items() if words]
    return len(CASES), len(CASES) - len(notes), notes


def together(results: "object") -> Result:
    """The sums of several results."""
    tried, survived, notes = zip(*results, strict=True)  # type: ignore[call-overload]
    return sum(tried), sum(survived), list(itertools.chain(*notes))


FIGURES = {"R4": r4, "R5": r5, "R6": r6, "R7": r7, "R8": r8, "R14": r14}
