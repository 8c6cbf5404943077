"""Sampled and greedy with a judge beside them, from the asking to the files and the table."""

import io
import json

import pytest
from endpoint import failure, server
from evaluations import Table
from rich.console import Console

from jumar.cli.evaluating import table
from jumar.engines.settings import EngineSettings
from jumar.evaluating import judge_of, response_file, scored, slug
from jumar.tasks.task import Example, Task
from jumar.verifiers import ScoringPool, VerifierSpec

ROWS = [Example(prompt="2+2", answer="4"), Example(prompt="9-2", answer="7")]
TASK = Task(name="sums", train=(), validation=(), test=ROWS, verifier=VerifierSpec("gsm8k"))
POLICY = Table({"2+2": ["#### 4", "four", "#### 5"], "9-2": ["#### 7", "#### 7", "seven"]})


class Phases:
    def __init__(self):
        self.said = []

    def on_phase(self, text):
        self.said.append(text)


@pytest.fixture(scope="module")
def pool():
    with ScoringPool(TASK.verifier, workers=1) as pool:
        yield pool


def measured(pool, directory, policy=POLICY, **judge):
    settings = EngineSettings.model_validate({"judge": judge})
    files = {kind: directory / f"{kind}.jsonl" for kind in ("sampled", "greedy")}
    phases = Phases()
    found = scored(
        policy, pool, TASK, ROWS, settings, phases,
        samples=3, files=files, who="the model", judge=judge_of(settings),
    )  # fmt: skip
    return found, phases.said


def printed(found):
    console = Console(file=io.StringIO(), width=120)
    console.print(table(found, {kind: f"{kind}.jsonl" for kind in found}))
    return " ".join(console.file.getvalue().split())


def test_a_judge_is_counted_apart_told_of_and_kept_with_its_words(pool, tmp_path, monkeypatch):
    monkeypatch.setenv("JUDGE_KEY", "secret-7")
    replies = {"four": "It is 4.\nright", "seven": "hm", "#### 5": "It is 5.\nwrong"}
    with server(**replies) as there:
        found, said = measured(
            pool, tmp_path, url=there.url, model="friend", key_variable="JUDGE_KEY", retries=0
        )
    assert said[1:3] == [
        "Asking the judge about the responses that the verifier refused.",
        "The judge gave no opinion on 1: 1 unclear.",
    ]
    text = printed(found)
    assert "pass@1 0.500" in text
    assert "greedy 1.000" in text
    assert "judge_pass@1 0.667" in text
    assert (
        "sampled: of 3 refused responses the judge friend agrees on 1, would accept 1, "
        "no opinion: 1 unclear" in text
    )
    kept = (tmp_path / "sampled.jsonl").read_text()
    words = [json.loads(line).get("judge", {}).get("words") for line in kept.splitlines()]
    assert "It is 4." in words
    for file in tmp_path.iterdir():
        assert "secret-7" not in file.read_text()


def test_a_judge_that_is_broken_leaves_every_number_as_it_was(pool, tmp_path):
    plain, _ = measured(pool, tmp_path / "plain")
    with server(**{"": failure(500)}) as there:
        found, said = measured(pool, tmp_path / "judged", url=there.url, model="friend", retries=0)
    assert "The judge gave no opinion on 3: 3 HTTP 500." in said
    for kind in ("sampled", "greedy"):
        judged = found[kind].to_dict()
        judged.pop("judge")
        assert judged == plain[kind].to_dict()


def test_what_was_scored_is_read_back_and_not_asked_again(pool, tmp_path):
    first, _ = measured(pool, tmp_path)
    nobody = Table({})
    again, said = measured(pool, tmp_path, policy=nobody)
    assert nobody.calls == said == []
    assert {kind: e.to_dict() for kind, e in again.items()} == {
        kind: e.to_dict() for kind, e in first.items()
    }


def test_the_table_shows_the_powers_of_two_and_the_last_k(pool, tmp_path):
    found, _ = measured(pool, tmp_path)
    assert [f"pass@{k} " in printed(found) for k in (1, 2, 3)] == [True, True, True]
    six = Table({row.prompt: ["#### 4"] * 7 for row in ROWS})
    files = {"sampled": None}
    found = scored(
        six, pool, TASK, ROWS, EngineSettings(), Phases(),
        samples=7, files=files, who="six", judge=None,
    )  # fmt: skip
    shown = [k for k in range(1, 8) if f"pass@{k} " in printed(found)]
    assert shown == [1, 2, 4, 7]


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("gsm8k?test=/data/test.jsonl", "gsm8k"),
        ("gym:chain_sum?min_terms=2", "gym-chain_sum"),
        ("Qwen/Qwen3-0.6B", "Qwen-Qwen3-0.6B"),
        ("file:/home/a/my rows.jsonl", "file-home-a-my-rows.jsonl"),
        ("../" + "x" * 50, "x" * 40),
    ],
)
def test_a_name_becomes_a_part_of_a_file_name(name, part):
    assert slug(name) == part


def test_two_tasks_of_one_kind_have_files_of_their_own(tmp_path):
    names = ["gym:chain_sum?min_terms=2", "gsm8k", "gym:chain_sum?min_terms=3"]
    files = [response_file(tmp_path, names, name, "greedy").name for name in names]
    assert files == [
        "gym-chain_sum-1-greedy.jsonl", "gsm8k-greedy.jsonl", "gym-chain_sum-3-greedy.jsonl",
    ]  # fmt: skip


def test_a_judge_is_asked_about_an_evaluation_that_was_made_without_one(pool, tmp_path):
    plain, _ = measured(pool, tmp_path)
    with server(**{"four": "It is 4.\nright", "seven": "hm", "#### 5": "wrong"}) as there:
        judged = {"url": there.url, "model": "friend", "retries": 0}
        found, said = measured(pool, tmp_path, policy=None, **judged)
        again, silence = measured(pool, tmp_path, policy=None, **judged)
    assert not any(text.startswith("Evaluating") for text in said)
    assert found["sampled"].estimates() == plain["sampled"].estimates()
    assert found["sampled"].judged()["accepts"] == 1
    assert again["sampled"].judged() == found["sampled"].judged()
    assert silence == []
