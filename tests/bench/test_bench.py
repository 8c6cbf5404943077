"""The bench: one budget and one way of tuning for all, rows that say what they are, a page."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from jumar import algorithms, bench, tasks
from jumar.bench.arms import ARMS, NOT_RUN, PROMPTS, RATES, RESPONSES, SEEDS, STEPS, TRAINED, TUNING
from jumar.bench.leaderboard import ALONE, KINDS, complete, kind, leaderboard, learned
from jumar.cli import app
from jumar.config import parse
from jumar.config.sources import merged
from jumar.engines.local.models import load_model
from jumar.reproduce.study import Records
from jumar.reproduce.worker import weights_hash

RESULTS = Path(__file__).parents[2] / "docs" / "results"


def test_every_algorithm_is_run_or_its_missing_columns_are_named() -> None:
    assert sorted([*(arm.name for arm in ARMS), *NOT_RUN]) == algorithms.names()
    assert all(NOT_RUN.values())


@pytest.mark.parametrize("arm", ARMS, ids=lambda arm: arm.name)
def test_every_run_trains_by_the_same_tuning_and_the_same_number_of_responses(arm: Any) -> None:
    tried = [merged(arm.recipe, settings) for settings in TUNING[arm.name]]
    assert [each["optimiser"]["learning_rate"] for each in tried] == list(RATES)
    assert arm.seeds == SEEDS >= 3
    config = parse(arm.recipe, source=arm.name)
    program, rollout = arm.recipe["program"], config.rollout
    first = program.get("samples", 0) * (rollout.only_prompts or 0)
    each = 2 if arm.recipe["task"].endswith("pairs") else rollout.responses
    drawn = program.get("prompts", rollout.prompts * program.get("steps", 0)) * each
    if arm.name != "spo_segment":  # whose continuations are beside its responses
        assert first + drawn == STEPS * PROMPTS * RESPONSES


def test_rows_are_right_or_wrong_as_they_say() -> None:
    task = tasks.get("jumar.bench.rows:pairs")
    assert len(task.train) > STEPS * PROMPTS * RESPONSES // 2  # no row is seen twice
    for example in task.train[:200]:
        assert example.chosen is not None
        assert example.rejected is not None
        assert example.chosen.endswith(f"#### {example.answer}")
        assert not example.rejected.endswith(f"#### {example.answer}")
    given = tasks.get("jumar.bench.rows:demonstrations")
    assert [row.response for row in given.train] == [row.chosen for row in task.train]


def invented(score: float) -> dict[str, Any]:
    numbers = {name: [score, score - 0.1, score + 0.1] for name in ("pass@1", "greedy")}
    return {
        "scores": {model: {TRAINED: numbers, "kl": [0.1, 0.0, 0.2]} for model in ("base", "last")},
        "tokens": 1000.0,
        "validated": score,
    }


def records(**scores: list[float]) -> Records:
    found = {"base": {0: invented(0.5)}}
    for name, values in scores.items():
        found[name] = {seed: invented(value) for seed, value in enumerate(values)}
        found |= {f"tuning-{name}-{n}": {1000: invented(n / 10)} for n in range(len(RATES))}
    return Records(found)


def test_the_leaderboard_names_who_learned_and_who_did_not() -> None:
    made = records(grpo=[0.7, 0.71, 0.72], opd=[0.9, 0.9, 0.9], dapo=[0.4, 0.5, 0.6], gspo=[0.9])
    assert learned(made) == ["grpo", "opd"]
    text = leaderboard(made)
    assert text.index("algorithms/opd.md") > text.index(f"## {kind('opd')}")
    assert text.index("| [`grpo`]") < text.index("| [`dapo`]")
    assert "- `dapo`: " in text.partition("## What did not learn")[2]
    assert "`gspo`" in text.partition("- Not finished yet: ")[2]
    assert [heading for heading in KINDS if f"## {heading}" in text] == [kind("grpo"), kind("opd")]
    assert f"| {RATES[-1]:g} |" in text


def test_an_algorithm_that_is_not_run_is_refused_with_what_to_do(tmp_path: Path) -> None:
    ended = CliRunner().invoke(app, ["bench", "grop", "--out", str(tmp_path)])
    assert ended.exit_code == 2
    assert "grpo" in ended.output


def test_another_scale_is_refused(tmp_path: Path) -> None:
    ended = CliRunner().invoke(app, ["bench", "--scale", "paper", "--out", str(tmp_path)])
    assert ended.exit_code == 2
    assert "jumar reproduce" in ended.output


PUBLISHED = pytest.mark.skipif(
    not (RESULTS / "bench.md").is_file(), reason="no run was published yet"
)


@PUBLISHED
def test_the_published_page_is_what_its_records_say_and_each_has_the_hash_of_its_weights() -> None:
    store = RESULTS / "bench"
    assert (RESULTS / "bench.md").read_text(encoding="utf-8") == bench.page(store)
    for file in store.glob("*.json"):
        record = json.loads(file.read_text())
        assert "failed" in record or len(record["hashes"]["weights"]) == 16


@PUBLISHED
@pytest.mark.slow
def test_a_run_gives_the_committed_hashes_again(tmp_path: Path) -> None:
    store = RESULTS / "bench"
    alone = [n for n in complete(bench.found(store)) if kind(n) == ALONE]
    if not alone:
        pytest.skip("no algorithm without a teacher is finished yet")
    name = alone[0]
    (committed,) = bench.runners([name], store, tmp_path, 1, print)
    job = committed.planned()[0]

    def run(label: str) -> dict[str, str]:
        place = tmp_path / label
        (again,) = bench.runners([name], place, place / "work", 1, print)
        assert again.make(job) is None
        return hashes(place, job.name)

    if weights_hash(load_model("tiny")[0].state_dict()) == hashes(store, "base-seed0")["weights"]:
        assert run("again") == hashes(store, job.name)
    else:  # another processor gave another base; then two runs have to agree with each other
        assert run("one") == run("two")


def hashes(store: Path, name: str) -> dict[str, str]:
    found: dict[str, str] = json.loads((store / f"{name}.json").read_text())["hashes"]
    return found
