"""Verbs on fixed batches, and ERPD over them: a run that was killed ends in the same bits."""

import gc
import shutil
import weakref
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import letters
import pytest
import torch
from letters import Log, left_by, trainer, weights_of
from safetensors.torch import load_file
from transformers import LlamaForCausalLM

from jumar import algorithms
from jumar.engines.local.checkpoint import replace_directory
from jumar.engines.local.provision import PROVIDED_HERE
from jumar.engines.local.stored import BATCH, RESPONSES
from jumar.engines.local.trainer import LocalTrainer
from jumar.errors import ConfigurationError, DataError, EngineError
from jumar.pieces import piece, reads
from jumar.programs.erpd import erpd
from jumar.types import RolloutBatch, TokenBatch

RECORDS = {name: algorithms.get(name) for name in algorithms.names()}
WITH_CRITIC = sorted(name for name, record in RECORDS.items() if record.value_loss is not None)
SHORT = {
    "batches": 1, "prompts": 4, "responses": 4, "prompts_per_step": 2, "teacher_steps": 3,
    "student_steps": 2,
}  # fmt: skip
SMALL = {"prompts": 4, "responses": 4}
TWO = {"steps": 2, "prompts": 2}
WITHOUT_KL = algorithms.grpo(kl_coef=0.0)


class Photographer(Log):
    """An observer that copies the run's directory at every call: what a kill would leave there."""

    def __init__(self, directory: Path, album: Path) -> None:
        super().__init__()
        self.directory, self.album = directory, album

    def called(self) -> None:
        super().called()
        shutil.copytree(self.directory, self.album / f"{self.calls:03d}")


def ends_in_the_same_bits_wherever_it_is_killed(
    start: Callable[..., LocalTrainer], program: Callable[[LocalTrainer], Any], place: Path
) -> int:
    """Resume from the disk as it was at every call of the observer; how many there were."""
    log = Photographer(place / "run", place / "album")
    program(start(place / "run", log=log))
    whole = left_by(place / "run")
    for photograph in sorted((place / "album").iterdir()):
        resumed = start(photograph, log=Log())
        resumed.restore()
        program(resumed)
        assert left_by(photograph) == whole, photograph.name
    return log.calls


# ------------------------------------------------------------------ ERPD

WAYS = {
    "strong": ("implicit_ce", {}),
    "away": ("sapo", {"batches": 2, "student_steps": 1, "teacher_steps": 2}),
    "weak, one run": ("token_mse", {"strategy": "weak", "unlearn_steps": 1}),
    "weak, token_mse": ("token_mse", {"recover": "token_mse", "negative_weight": 2.0}),
    "weak, implicit_ce": ("token_mse", {"recover": "implicit_ce", "unlearn_learning_rate": 1e-2}),
    "weak, sft": ("token_mse", {"recover": "sft", "unlearn_steps": 3}),
    "ensemble": ("implicit_ce", {"recover": "implicit_ce", "student_steps": 1, "teacher_steps": 2}),
    "none": (WITHOUT_KL, {"learning_rate": 1e-2}),
    "online": ("implicit_ce", {"strategy": "strong", "batches": 2, "online_steps": 1}),
    "ppo": ("ppo", {"strategy": "strong", "teacher_steps": 5}),
}
LONG = ("away", "ensemble", "online")  # two batches, or two teachers


@pytest.mark.parametrize(
    "way", [pytest.param(w, marks=pytest.mark.slow) if w in LONG else w for w in WAYS]
)
def test_erpd_ends_in_the_same_bits_wherever_it_is_killed(way, model, pool, tmp_path):
    algorithm, settings = WAYS[way]
    strategy = {"strategy": way.partition(",")[0], "unlearn_steps": 2}
    options = {**SHORT, **strategy, **settings}

    def start(directory: Path, **given: Any) -> LocalTrainer:
        return trainer(directory, model, pool, algorithm=algorithm, **given)

    calls = ends_in_the_same_bits_wherever_it_is_killed(
        start, lambda run: erpd(run, **options), tmp_path
    )
    assert calls > 2 * options["batches"]


def test_erpd_learns_letters_from_two_batches(model, pool, tmp_path):
    run = trainer(
        tmp_path / "run", model, pool, algorithm="implicit_ce", checkpoints={"every": 100}
    )
    settings = {"prompts": 24, "responses": 8, "prompts_per_step": 8, "student_steps": 6}
    erpd(run, batches=2, teacher_steps=12, **settings)
    sampled = [run.sample(prompts=24, responses=8)]
    before, after = (
        load_file(batch / BATCH)["correct"].float().mean()
        for batch in (tmp_path / "run" / "stages" / "00-sample" / "batch", *sampled)
    )
    assert after > before + 0.1
    assert run.step == 12  # teachers' steps are not the policy's


def models_in_memory() -> list[LlamaForCausalLM]:
    return [found for found in gc.get_objects() if type(found) is LlamaForCausalLM]


def test_in_a_fit_there_is_no_model_but_the_policy_and_the_one_that_is_fitted(
    model, pool, tmp_path
):
    others = weakref.WeakSet(models_in_memory())
    counts: list[int] = []

    class Counting(Log):
        def on_step(self, step: int, total: int | None, metrics: Any) -> None:
            counts.append(sum(found not in others for found in models_in_memory()))

    run = trainer(tmp_path / "run", model, pool, algorithm="token_mse", log=Counting())
    gc.disable()  # a model that only the collector would find still fills the memory
    try:
        erpd(run, **{**SHORT, "strategy": "ensemble", "recover": "token_mse", "unlearn_steps": 1})
    finally:
        gc.enable()
    assert counts == [2] * (3 + 1 + 3 + 2 + 2)


# ------------------------------------------------------------------ sample


def sampled(model: Path, pool: Any, directory: Path, **options: Any) -> tuple[LocalTrainer, Path]:
    run = trainer(directory, model, pool, **{"algorithm": WITHOUT_KL, **options})
    return run, run.sample(**SMALL)


def test_a_fixed_batch_holds_every_response_with_its_score_and_old_logprobs(model, pool, tmp_path):
    _, batch = sampled(model, pool, tmp_path / "run")
    columns = load_file(batch / BATCH)
    assert len(columns["mask"]) == len((batch / RESPONSES).read_text().splitlines()) == 16
    assert torch.unique(columns["group_ids"], return_counts=True)[1].tolist() == [4] * 4
    torch.testing.assert_close(
        columns["old_logprobs"], columns["rollout_logprobs"], rtol=0, atol=1e-4
    )


def test_batches_go_through_the_prompts_and_draw_anew(model, pool, tmp_path):
    run = trainer(tmp_path / "run", model, pool, algorithm=WITHOUT_KL, rollout={"only_prompts": 6})
    columns = [load_file(run.sample(prompts=3, responses=2) / BATCH) for _ in range(4)]
    ids = [set(found["prompt_ids"].tolist()) for found in columns]
    assert ids[0] | ids[1] == ids[2] | ids[3]
    assert ids[0].isdisjoint(ids[1])
    drawn = {
        (prompt, tuple(tokens))
        for found in columns
        for prompt, tokens in zip(
            found["prompt_ids"].tolist(), found["token_ids"].tolist(), strict=True
        )
    }
    assert len(drawn) > 20  # of 24: the same prompt is not answered in the same way again


def test_the_size_of_chunks_changes_no_draw_and_a_killed_sample_goes_on(model, pool, tmp_path):
    _, whole = sampled(model, pool, tmp_path / "whole", rows=8)
    _, other = sampled(model, pool, tmp_path / "other", rows=64)
    same = load_file(whole / BATCH)
    for name in ("token_ids", "correct", "group_ids", "prompt_ids"):
        assert torch.equal(same[name], load_file(other / BATCH)[name])
    for scored in (1, 2):
        directory = tmp_path / f"cut-{scored}"
        with pytest.raises(KeyboardInterrupt):
            sampled(model, letters.Dying(pool, scored), directory, rows=8)
        counting = letters.Dying(pool)
        _, again = sampled(model, counting, directory, rows=8)
        assert counting.calls == 3 - scored  # of two chunks
        assert left_by(again) == left_by(whole)
        assert not (again.parent / "parts").exists()


def test_a_batch_can_be_sampled_for_the_control_that_must_not_learn(model, pool, tmp_path):
    control = {"control": "shuffled_rewards"}
    _, batch = sampled(model, pool, tmp_path / "run", rollout=control, rows=64)
    _, plain = sampled(model, pool, tmp_path / "plain", rows=64)
    mixed, true = (load_file(path / BATCH) for path in (batch, plain))
    assert torch.equal(mixed["token_ids"], true["token_ids"])
    assert mixed["correct"].sum() == true["correct"].sum()
    assert not torch.equal(mixed["correct"], true["correct"])


@pytest.mark.parametrize("file", [BATCH, RESPONSES, "batch.json"])
def test_a_batch_of_which_one_byte_was_flipped_is_refused(file, model, pool, tmp_path):
    run, batch = sampled(model, pool, tmp_path / "run")
    content = bytearray((batch / file).read_bytes())
    content[len(content) // 2] ^= 1
    (batch / file).write_bytes(content)
    with pytest.raises(EngineError, match=rf"damaged: {file} was changed"):
        run.fit(batch, **TWO)
    with pytest.raises(EngineError, match=rf"damaged: {file} was changed"):
        run.log_ratio(batch)


# ------------------------------------------------------------------ fit


def test_a_fit_leaves_the_policy_as_it_is_and_the_models_that_were_asked_for(model, pool, tmp_path):
    run, batch = sampled(model, pool, tmp_path / "run")
    fit = run.fit(batch, steps=4, prompts=2, snapshots=[1, 3, 9])
    assert all(
        torch.equal(mine, theirs)
        for mine, theirs in zip(
            run.policy.model.state_dict().values(),
            trainer(tmp_path / "other", model, pool).policy.model.state_dict().values(),
            strict=True,
        )
    )
    assert run.step == 0
    assert (fit.steps, sorted(fit.snapshots)) == (4, [1, 3])
    assert len({weights_of(p) for p in (model, fit.last, *fit.snapshots.values())}) == 4
    shorter = run.fit(batch, steps=3, prompts=2)
    assert weights_of(shorter.last) == weights_of(fit.snapshots[3])
    assert not (fit.last.parent / "checkpoints").exists()


def test_each_epoch_takes_every_group_once_in_another_order(model, pool, tmp_path):
    SEEN.clear()
    watched = replace(WITHOUT_KL, surrogate=piece(watched_loss))
    run, batch = sampled(model, pool, tmp_path / "run", algorithm=watched)
    run.fit(batch, steps=12, prompts=1)
    groups = [int(tokens["group_ids"].unique()) for tokens in SEEN]
    epochs = [groups[at : at + 4] for at in (0, 4, 8)]
    assert all(sorted(epoch) == [0, 1, 2, 3] for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 1
    SEEN.clear()
    run.fit(batch, steps=2, prompts=3)  # the rest of an epoch is a step, too
    assert [len(tokens["group_ids"].unique()) for tokens in SEEN] == [3, 1]


SEEN: list[dict[str, torch.Tensor]] = []  # what `watched_loss` was given


@reads("old_logprobs")
def watched_loss(tokens: TokenBatch) -> torch.Tensor:
    if not tokens.logprobs.is_leaf:  # the model's own, not a copy that diagnostics ask about
        SEEN.append({name: column.detach().clone() for name, column in tokens.columns.items()})
    return tokens.logprobs * 1.0


def test_whatever_a_fit_starts_from_old_logprobs_are_the_sampling_policys(model, pool, tmp_path):
    SEEN.clear()
    watched = replace(WITHOUT_KL, surrogate=piece(watched_loss))
    run, batch = sampled(model, pool, tmp_path / "run", algorithm=watched)
    moved = run.fit(batch, steps=3, prompts=4, algorithm={"name": "sft"}).last
    columns = load_file(batch / BATCH)
    for start, near in ((None, True), (moved, False)):
        SEEN.clear()
        run.fit(batch, steps=1, prompts=4, start=start)
        (tokens,) = SEEN
        stored, given = places(columns), places(tokens)
        old = columns["old_logprobs"][[stored[row] for row in given]]
        assert torch.equal(tokens["old_logprobs"], old)
        assert torch.allclose(tokens["logprobs"], old, rtol=0, atol=1e-4) is near


def places(columns: dict[str, torch.Tensor]) -> dict[tuple[int, int], int]:
    """Where each response is among the rows."""
    names = zip(columns["prompt_ids"].tolist(), columns["sample_ids"].tolist(), strict=True)
    return {name: row for row, name in enumerate(names)}


def test_a_fit_has_its_own_learning_rate_where_one_is_given(model, pool, tmp_path):
    run, batch = sampled(model, pool, tmp_path / "run")
    same = {"steps": 1, "prompts": 4, "algorithm": {"name": "sft"}}
    fits = [run.fit(batch, **same, learning_rate=rate).last for rate in (None, 3e-3, 3e-2)]
    assert weights_of(fits[0]) == weights_of(fits[1]) != weights_of(fits[2])
    start = load_file(model / "model.safetensors")
    small, large = (load_file(fit / "model.safetensors") for fit in fits[1:])
    for name, weight in start.items():  # Adam's first step is the rate times a sign
        moved = (small[name] - weight).abs() > 1e-3
        ratio = (large[name] - weight)[moved] / (small[name] - weight)[moved]
        torch.testing.assert_close(ratio, torch.full_like(ratio, 10.0), rtol=1e-2, atol=0)


@pytest.mark.parametrize("name", WITH_CRITIC)
def test_a_fit_with_a_critic_ends_in_the_same_bits_wherever_it_is_killed(
    name, model, pool, tmp_path
):
    """Values and what is made of them are renewed with each epoch of two steps."""
    teacher = str(letters.write_model(tmp_path / "teacher", seed=1))

    def start(directory: Path, **given: Any) -> LocalTrainer:
        return trainer(directory, model, pool, algorithm=name, teacher=teacher, **given)

    def program(run: LocalTrainer) -> None:
        run.fit(run.sample(**SMALL), steps=5, prompts=2)

    assert ends_in_the_same_bits_wherever_it_is_killed(start, program, tmp_path) == 2 + 5


def test_values_are_renewed_with_each_epoch(model, pool, tmp_path):
    SEEN.clear()
    watched = replace(algorithms.ppo(), surrogate=piece(watched_loss))
    run, batch = sampled(model, pool, tmp_path / "run", algorithm=watched)
    run.fit(batch, steps=3, prompts=4)
    first, second, third = (tokens["old_values"] for tokens in SEEN)
    assert (first == 0).all()  # a new critic
    assert not torch.equal(first, second)
    assert not torch.equal(second, third)
    assert all(torch.equal(tokens["rewards"], SEEN[0]["rewards"]) for tokens in SEEN)


# the batch of one reward has no parts, and nothing goes on from the middle of its responses
FITTED = {"signal", *PROVIDED_HERE} - {"reward_parts", "cut_values"}
OF_PAIRS = {"dpo", "rebel", "tgdpo"}  # they read the rows as pairs, which a batch of groups is not


@pytest.mark.parametrize("name", sorted(RECORDS.keys() - OF_PAIRS))
def test_every_algorithm_fits_a_batch_or_says_what_it_lacks(name, model, pool, tmp_path):
    other = str(letters.write_model(tmp_path / "teacher", seed=1))
    run, batch = sampled(model, pool, tmp_path / "run", teacher=other)
    signal = run.log_ratio(batch, numerator=None) if name == "erpd_student" else None
    chosen = {"algorithm": {"name": name}, "signal": signal}
    if RECORDS[name].reads - FITTED:
        with pytest.raises(ConfigurationError, match=f"`{name}` reads"):
            run.fit(batch, **TWO, **chosen)
        return
    fit = run.fit(batch, **TWO, **chosen)
    rows = letters.lines_of(fit.last.parent / "metrics.jsonl")
    assert [row["step"] for row in rows] == [1, 2]
    # a signal of one model over itself is zero: there is nothing to distil
    assert (weights_of(fit.last) == weights_of(model)) is (name == "erpd_student")


def keep_none(rollout: RolloutBatch) -> torch.Tensor:
    return torch.zeros_like(rollout.correct)


def test_a_fit_of_which_nothing_is_kept_says_so(model, pool, tmp_path):
    picky = replace(algorithms.dapo(), keep=piece(keep_none))
    run, batch = sampled(model, pool, tmp_path / "run", algorithm=picky)
    with pytest.raises(DataError, match=r"`dapo` keeps no response .* Sample more prompts"):
        run.fit(batch, **TWO)


def test_a_fit_without_what_its_algorithm_reads_is_refused_before_its_first_step(
    model, pool, tmp_path
):
    run, batch = sampled(model, pool, tmp_path / "run", reference=None)
    for name, words in (
        ("grpo", "`grpo` reads the reference"),
        ("opd", "`opd` reads the teacher"),
        ("erpd_student", "`erpd_student` reads `signal`"),
    ):
        with pytest.raises(ConfigurationError, match=words):
            run.fit(batch, **TWO, algorithm={"name": name})


# ------------------------------------------------------------------ log_ratio


def column(path: Path) -> torch.Tensor:
    return load_file(path / BATCH)["signal"]


def test_a_log_ratio_is_zero_of_a_model_over_itself_and_antisymmetric(model, pool, tmp_path):
    run, batch = sampled(model, pool, tmp_path / "run")
    teacher = run.fit(batch, steps=2, prompts=4, algorithm={"name": "sft"}).last
    other = run.fit(batch, steps=2, prompts=4, algorithm={"name": "token_mse"}).last

    def ratio(above: Path | None, below: Path | None) -> torch.Tensor:
        return column(run.log_ratio(batch, numerator=above, denominator=below))

    assert (ratio(teacher, teacher) == 0).all()
    assert (ratio(None, None) == 0).all()
    # the policy as it lies on the disk is asked in other micro-batches than when it sampled
    assert ratio(saved(run), None).abs().max() < 1e-5
    assert torch.equal(ratio(teacher, None), -ratio(None, teacher))
    assert ratio(teacher, None).abs().max() > 1e-3
    torch.testing.assert_close(
        ratio(teacher, other), ratio(teacher, None) + ratio(None, other), rtol=0, atol=1e-5
    )
    mask = load_file(batch / BATCH)["mask"]
    assert (ratio(teacher, other)[~mask] == 0).all()


def saved(run: LocalTrainer) -> Path:
    replace_directory(run.directory / "saved", run.policy.writer())
    return run.directory / "saved"


def test_a_log_ratio_is_that_of_the_two_models_token_by_token(model, pool, tmp_path):
    """By hand: one forward of each whole model, without micro-batches or any of the engine."""
    run, batch = sampled(model, pool, tmp_path / "run", rollout={"temperature": 0.7})
    teacher = run.fit(batch, steps=2, prompts=4, algorithm={"name": "sft"}).last
    signal = column(run.log_ratio(batch, numerator=teacher))
    columns = load_file(batch / BATCH)
    by_prompt = {e.prompt_id: run.policy.prompts.encode(e) for e in letters.task().train}
    models = [LlamaForCausalLM.from_pretrained(path) for path in (teacher, model)]
    for row in range(len(signal)):
        prompt = by_prompt[int(columns["prompt_ids"][row])]
        response = columns["token_ids"][row][columns["mask"][row]]
        ids = torch.cat([torch.tensor(prompt), response])[None]
        with torch.no_grad():
            above, below = ((m(ids).logits / 0.7).log_softmax(-1)[0] for m in models)
        at = torch.arange(len(prompt) - 1, ids.shape[1] - 1)
        expected = (above - below)[at, response]
        found = signal[row][columns["mask"][row]]
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_a_signal_of_which_one_byte_was_flipped_is_refused(model, pool, tmp_path):
    run, batch = sampled(model, pool, tmp_path / "run")
    signal = run.log_ratio(batch)
    content = bytearray((signal / BATCH).read_bytes())
    content[-1] ^= 1
    (signal / BATCH).write_bytes(content)
    with pytest.raises(EngineError, match="damaged"):
        run.fit(batch, **TWO, algorithm={"name": "erpd_student"}, signal=signal)


# ------------------------------------------------------------------ adopt


def test_an_adopted_model_is_the_policy_with_new_moments_and_the_fits_steps(model, pool, tmp_path):
    run, batch = sampled(model, pool, tmp_path / "run")
    run.train(steps=2)
    fit = run.fit(batch, **TWO)
    stage = run.adopt(fit.last, steps=5)
    assert (stage.first_step, stage.last_step, run.step) == (2, 7, 7)
    assert weights_of(stage.last) == weights_of(fit.last)
    assert stage.last_score is not None
    assert stage.last_score == stage.best_score
    following = run.train(steps=1)
    assert (following.first_step, following.last_step) == (7, 8)

    fresh = trainer(tmp_path / "fresh", fit.last, pool, algorithm=WITHOUT_KL)
    fresh.step = fresh._planned = 7
    fresh._order.position = run._order.position - 6  # the prompts of one step
    assert weights_of(fresh.train(steps=1).last) == weights_of(following.last)


def test_without_validation_an_adopted_model_is_the_best_there_is(model, pool, tmp_path):
    run, batch = sampled(model, pool, tmp_path / "run", evaluation={"every": 0})
    stage = run.adopt(run.fit(batch, **TWO).last, steps=2)
    assert stage.best == stage.last
    assert stage.best_score is None
