"""What the reference earns, sampled once and shared by runs, and A*-PO that learns from it."""

import fcntl
import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import letters
import pytest
import torch
from letters import Dying, Log, left_by, trainer

from jumar import algorithms
from jumar.algorithms.a_star_po import optimal_advantage_regression
from jumar.engines.contract import ReferenceRewards
from jumar.engines.local.trainer import LocalTrainer
from jumar.errors import ConfigurationError, DataError, EngineError
from jumar.pieces import piece, reads
from jumar.programs import made
from jumar.programs.a_star_po import a_star_po, optimal_value
from jumar.tasks.task import Example, Task
from jumar.types import TokenBatch
from jumar.verifiers.pool import ScoringPool
from jumar.verifiers.score import VerifierSpec

PROMPTS, SAMPLES = 12, 4
FEW = {"only_prompts": PROMPTS, "prompts": 4, "responses": 1}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where runs share what was sampled: nothing is there at first."""
    monkeypatch.setenv("JUMAR_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def start(directory: Path, model: Path, pool: Any, **options: Any) -> LocalTrainer:
    """A run of A*-PO on twelve prompts; two of them in a chunk of the reference's samples."""
    few = {**FEW, **options.pop("rollout", {})}
    given = {"algorithm": "a_star_po", "rows": 2 * SAMPLES, **options}
    return trainer(directory, model, pool, made=made("a_star_po"), rollout=few, **given)


def kept(cache: Path) -> list[Path]:
    return sorted(path for path in cache.glob("rewards-*") if not path.name.endswith("lock"))


# ------------------------------------------------------------------ the rewards themselves


def test_every_training_prompt_has_the_verdicts_of_its_samples(model, pool, tmp_path):
    found = start(tmp_path / "run", model, pool).reference_rewards(samples=SAMPLES)
    prompts = {example.prompt_id for example in letters.task().train[:PROMPTS]}
    assert found.rewards.keys() == found.correct.keys() == prompts
    assert all(len(row) == SAMPLES for row in found.rewards.values())
    for prompt, row in found.rewards.items():
        assert row == [float(right) for right in found.correct[prompt]]
    assert {sum(row) for row in found.rewards.values()} > {SAMPLES}  # not all are the same


def test_a_second_run_under_another_seed_reuses_them(model, pool, cache, tmp_path):
    first = start(tmp_path / "a", model, pool).reference_rewards(samples=SAMPLES)
    counting, log = Dying(pool), Log()
    other = start(tmp_path / "b", model, counting, seed=1, log=log, algorithm="a_star_po")
    assert other.reference_rewards(samples=SAMPLES) == first
    assert counting.calls == 0
    assert "there already" in log.phases[-1]
    costs = [result(tmp_path / run) for run in ("a", "b")]
    assert [cost.pop("reused") for cost in costs] == [0.0, 1.0]
    assert costs[0] == costs[1]  # what they cost whoever made them
    assert costs[0]["sampled_tokens"] > PROMPTS * SAMPLES
    assert len(kept(cache)) == 1


def result(directory: Path) -> dict[str, float]:
    file = directory / "stages" / "00-reference_rewards" / "stage.json"
    found: dict[str, float] = json.loads(file.read_text())["result"]
    return found


CHANGES: dict[str, dict[str, Any]] = {
    "temperature": {"rollout": {"temperature": 0.9}},
    "top-p": {"rollout": {"top_p": 0.9}},
    "the length limit": {"rollout": {"max_response_tokens": 9}},
    "the prompts": {"rollout": {"only_prompts": PROMPTS - 1}},
    "what is learned from": {"scoring": {"partial_credit": True}},
}


@pytest.mark.parametrize("what", CHANGES)
def test_they_are_not_reused_where_a_setting_changed(what, model, pool, cache, tmp_path):
    start(tmp_path / "a", model, pool).reference_rewards(samples=SAMPLES)
    start(tmp_path / "b", model, pool, **CHANGES[what]).reference_rewards(samples=SAMPLES)
    assert len(kept(cache)) == 2


def test_they_are_not_reused_for_other_draws(model, pool, cache, tmp_path):
    run = start(tmp_path / "a", model, pool)
    found = [run.reference_rewards(samples=n, seed=s) for n, s in ((4, 0), (4, 1), (8, 0))]
    assert len(kept(cache)) == 3
    assert found[0] != found[1]
    # the draws of a prompt are numbered: eight begin with the four
    assert all(row == found[2].rewards[p][:4] for p, row in found[0].rewards.items())


def test_they_are_not_reused_for_another_reference(model, pool, cache, tmp_path):
    other = letters.write_model(tmp_path / "other", seed=1)
    scaled = letters.write_model(tmp_path / "scaled")
    config = json.loads((scaled / "config.json").read_text())
    config["rope_parameters"]["rope_theta"] = 100.0  # the same weights
    (scaled / "config.json").write_text(json.dumps(config))
    for reference in (model, other, scaled):
        run = start(tmp_path / reference.name, model, pool, reference=str(reference))
        run.reference_rewards(samples=SAMPLES)
    assert len(kept(cache)) == 3


def test_they_are_not_reused_where_the_verifier_reads_something_else(model, pool, cache, tmp_path):
    plain = letters.task()
    rows = [
        replace(plain, train=[replace(e, **change) for e in plain.train])
        for change in ({}, {"answer": "x"}, {"metadata": {"level": 1}})
    ]
    for number, task in enumerate(rows):
        run = start(tmp_path / str(number), model, pool, examples=task)
        run.reference_rewards(samples=SAMPLES)
    assert len(kept(cache)) == 3


def test_they_are_not_reused_once_the_text_of_a_reward_function_changed(model, cache, tmp_path):
    file, found = tmp_path / "marks.py", []
    for number, letter in enumerate("kkt"):
        file.write_text(f"def mark(response, example):\n    return response[:1] < {letter!r}\n")
        for kind in ("function", "weighted"):
            own = {"kind": "function", "options": {"target": f"{file}:mark"}}
            parts = [{"name": "mark", "weight": 1.0, "verifier": own}]
            options = own["options"] if kind == "function" else {"parts": parts}
            with ScoringPool(VerifierSpec(kind, options), workers=1) as pool:
                run = start(tmp_path / f"{number}-{kind}", model, pool)
                found.append(run.reference_rewards(samples=SAMPLES))
        assert len(kept(cache)) == (2 if letter == "k" else 4)
    assert found[0] == found[2] != found[4]


def test_a_prompt_that_stands_twice_is_sampled_once(model, pool, tmp_path):
    plain = letters.task()
    twice = replace(plain, train=[*plain.train[:3], replace(plain.train[0], answer="other")])
    counting = Dying(pool)
    run = start(tmp_path / "run", model, counting, examples=twice, rows=SAMPLES)
    assert len(run.reference_rewards(samples=SAMPLES).rewards) == counting.calls == 3


# ------------------------------------------------------------------ killed, damaged, at once


def test_killed_in_the_middle_of_sampling_it_goes_on_from_its_chunks(
    model, pool, tmp_path, monkeypatch
):
    whole = start(tmp_path / "whole", model, pool).reference_rewards(samples=SAMPLES)
    for scored in range(1, 7):  # six chunks
        monkeypatch.setenv("JUMAR_CACHE", str(tmp_path / f"cache-{scored}"))
        with pytest.raises(KeyboardInterrupt):
            start(tmp_path / f"a{scored}", model, Dying(pool, scored)).reference_rewards(
                samples=SAMPLES
            )
        counting = Dying(pool)
        # the chunks are anybody's: here another run goes on
        other = start(tmp_path / f"b{scored}", model, counting, seed=1)
        assert other.reference_rewards(samples=SAMPLES) == whole
        assert counting.calls == 6 - (scored - 1)
        assert len(kept(tmp_path / f"cache-{scored}")) == 1  # no chunks are left


def test_a_run_with_chunks_of_another_size_does_not_mix_them(model, pool, cache, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        start(tmp_path / "a", model, Dying(pool, 4)).reference_rewards(samples=SAMPLES)
    larger = start(tmp_path / "b", model, pool, rows=5 * SAMPLES)
    found = larger.reference_rewards(samples=SAMPLES)
    assert len(found.rewards) == PROMPTS
    assert len(kept(cache)) == 1


def test_a_run_waits_for_another_that_samples_and_takes_what_it_made(model, pool, cache, tmp_path):
    first = start(tmp_path / "a", model, pool).reference_rewards(samples=SAMPLES)
    (home,) = kept(cache)
    home.rename(tmp_path / "elsewhere")
    counting, found = Dying(pool), list[ReferenceRewards]()
    other = start(tmp_path / "b", model, counting)
    thread = threading.Thread(
        target=lambda: found.append(other.reference_rewards(samples=SAMPLES)), daemon=True
    )
    with home.with_name(f"{home.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        thread.start()
        thread.join(timeout=1.0)
        assert thread.is_alive()
        (tmp_path / "elsewhere").rename(home)
    thread.join(timeout=60.0)
    assert found == [first]
    assert counting.calls == 0


def test_rewards_of_which_one_byte_was_flipped_are_refused(model, pool, cache, tmp_path):
    start(tmp_path / "a", model, pool).reference_rewards(samples=SAMPLES)
    file = kept(cache)[0] / "rewards.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(EngineError, match=r"damaged: rewards\.safetensors was changed"):
        start(tmp_path / "b", model, pool).reference_rewards(samples=SAMPLES)


def test_without_a_reference_there_is_nothing_to_sample(model, pool, tmp_path):
    run = start(tmp_path / "run", model, pool, algorithm="reinforce", reference=None)
    with pytest.raises(ConfigurationError, match="samples the reference, but the run has none"):
        run.reference_rewards(samples=SAMPLES)


# ------------------------------------------------------------------ A*-PO

SEEN: list[tuple[int, float, float]] = []  # prompt, V* and reward of each response in a loss


@reads("ref_logprobs", "optimal_values")
def watched_regression(tokens: TokenBatch, *, beta: float) -> torch.Tensor:
    columns = tokens.prompt_ids, tokens.optimal_values, tokens.rewards
    SEEN.extend(zip(*(column.tolist() for column in columns), strict=True))
    return optimal_advantage_regression(tokens, beta=beta)


@pytest.fixture
def seen() -> Iterator[list[tuple[int, float, float]]]:
    """What the losses of this test were given."""
    SEEN.clear()
    yield SEEN
    SEEN.clear()


@pytest.mark.parametrize("beta", [0.5, 0, "mean"])
def test_v_star_reaches_the_loss_by_prompt(beta, model, pool, tmp_path, seen):
    algorithm = replace(algorithms.a_star_po(), surrogate=piece(watched_regression, beta=1e-3))
    settings = {"samples": 2, "beta_value": beta}
    a_star_po(start(tmp_path / "run", model, pool, algorithm=algorithm), steps=3, **settings)
    found = start(tmp_path / "again", model, pool).reference_rewards(samples=2)
    number = float("inf") if beta == "mean" else beta
    expected = {p: optimal_value(row, beta=number) for p, row in found.rewards.items()}
    assert len({prompt for prompt, _, _ in seen}) == PROMPTS  # three steps of four prompts
    for prompt, value, _ in seen:
        assert value == pytest.approx(expected[prompt], abs=1e-6)
    assert len(set(expected.values())) > 1


@pytest.mark.parametrize("drop", [False, True])
def test_prompts_that_no_sample_solved_are_left_out_when_asked(drop, model, pool, tmp_path, seen):
    algorithm = replace(algorithms.a_star_po(), surrogate=piece(watched_regression, beta=1e-3))
    run = start(tmp_path / "run", model, pool, algorithm=algorithm)
    a_star_po(run, steps=6, samples=2, drop_unsolved=drop)
    found = start(tmp_path / "again", model, pool).reference_rewards(samples=2)
    solved = {prompt for prompt, row in found.correct.items() if any(row)}
    assert 0 < len(solved) < PROMPTS
    assert {prompt for prompt, _, _ in seen} == (solved if drop else found.correct.keys())


def test_where_no_prompt_is_left_the_run_says_so(model, pool, tmp_path):
    run = start(tmp_path / "run", model, pool, algorithm="reinforce")
    everything = [example.prompt_id for example in letters.task().train]
    with pytest.raises(DataError, match=r"leaves out all 12 training prompts.*drop_unsolved"):
        run.train(steps=1, without=everything)


@pytest.mark.parametrize("killed", ["chunk 1", "chunk 4", "step 1", "step 2", "step 3", "step 4"])
def test_a_star_po_ends_in_the_same_bits_wherever_it_is_killed(
    killed, model, pool, cache, tmp_path, monkeypatch
):
    program = {"steps": 4, "samples": SAMPLES}
    a_star_po(start(tmp_path / "whole", model, pool), **program)
    monkeypatch.setenv("JUMAR_CACHE", str(tmp_path / "other"))
    stage, number = killed.split(" ")
    at = {"chunk": {}, "step": {"log": Log(int(number))}}[stage]
    dying = Dying(pool, int(number)) if stage == "chunk" else pool
    with pytest.raises(KeyboardInterrupt):
        a_star_po(start(tmp_path / "cut", model, dying, **at), **program)
    resumed = start(tmp_path / "cut", model, pool)
    resumed.restore()
    a_star_po(resumed, **program)
    assert left_by(tmp_path / "cut") == left_by(tmp_path / "whole")


def test_a_star_po_learns_letters_from_one_response_to_a_prompt(model, pool, tmp_path):
    log = Log()
    rows = [Example(prompt=f"say {x}{y}") for x in "abcdefgh" for y in "abcdefgh"]
    plain = letters.task()
    task = Task(
        name="say", train=rows[:32], validation=rows[32:40], test=rows[40:], verifier=plain.verifier
    )
    run = start(
        tmp_path / "run", model, pool, examples=task, log=log, rows=64,
        rollout={"only_prompts": 32, "prompts": 32}, evaluation={"every": 0},
        checkpoints={"every": 100, "rollouts_every": 0}, optimiser={"learning_rate": 1e-2},
    )  # fmt: skip
    a_star_po(run, steps=12, samples=SAMPLES)
    rewards = [log.steps[step]["reward"] for step in sorted(log.steps)]
    assert sum(rewards[-3:]) > sum(rewards[:3]) + 0.5
