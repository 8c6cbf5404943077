import json
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import letters
import pytest
import torch
from letters import Log, trainer, weights_of
from safetensors.torch import load_file

from jumar import algorithms
from jumar.engines.local.curriculum import PromptOrder
from jumar.engines.local.provision import PROVIDED_HERE, needs
from jumar.errors import ConfigurationError, EngineError
from jumar.pieces import piece, reads
from jumar.programs.plain import plain
from jumar.programs.ratchet import ratchet
from jumar.schedules import linear
from jumar.tasks.task import Example
from jumar.types import RolloutBatch, TokenBatch

RECORDS = {name: algorithms.get(name) for name in algorithms.names()}
OF_PROGRAMS = {name for name, record in RECORDS.items() if record.reads - PROVIDED_HERE}
RUNNABLE = sorted(RECORDS.keys() - OF_PROGRAMS)
FROM_DATASET = {name for name, record in RECORDS.items() if record.rows == "stored"}


def metrics(directory: Path) -> list[dict]:
    """The run's lines without what a clock said."""
    return letters.lines_of(directory / "metrics.jsonl")


@pytest.mark.parametrize("name", RUNNABLE)
def test_every_algorithm_trains_and_moves_the_weights(name, model, pool, tmp_path):
    taught = needs(RECORDS[name], "teacher")
    teacher = str(letters.write_model(tmp_path / "teacher", seed=1)) if taught else None
    source = {"source": "dataset"} if name in FROM_DATASET else {}
    log = Log()
    stage = trainer(
        tmp_path / "run", model, pool, algorithm=name, teacher=teacher, log=log, rollout=source
    ).train(steps=3)
    assert stage.last_step == 3
    assert sorted(log.steps) == [1, 2, 3]
    assert weights_of(stage.last) != weights_of(model)
    assert all(torch.isfinite(torch.tensor(list(m.values()))).all() for m in log.steps.values())


@pytest.mark.parametrize("name", sorted(OF_PROGRAMS))
def test_what_another_program_makes_is_refused_before_step_0(name, model, pool, tmp_path):
    with pytest.raises(ConfigurationError, match=r"this program and policy rows do not give"):
        trainer(tmp_path / "run", model, pool, algorithm=name)
    assert not (tmp_path / "run" / "metrics.jsonl").exists()


@pytest.mark.parametrize("name", sorted(FROM_DATASET))
def test_an_algorithm_of_stored_rows_is_not_taught_its_own_samples(name, model, pool, tmp_path):
    with pytest.raises(ConfigurationError, match=r"stored responses.*rollout\.source=dataset"):
        trainer(tmp_path / "run", model, pool, algorithm=name)


def test_a_reference_reading_algorithm_is_refused_without_reference(model, pool, tmp_path):
    with pytest.raises(ConfigurationError, match=r"reads the reference.*Set reference"):
        trainer(tmp_path / "run", model, pool, algorithm="owpo", reference=None)


def test_the_same_seed_gives_the_same_run_and_another_seed_another(model, pool, tmp_path):
    runs = {}
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        stage = trainer(tmp_path / name, model, pool, algorithm="owpo", seed=seed).train(steps=3)
        runs[name] = metrics(tmp_path / name), weights_of(stage.last)
    assert runs["a"] == runs["b"]
    assert runs["a"][1] != runs["c"][1]


@pytest.mark.parametrize("name", ["owpo", "ppo"])
@pytest.mark.parametrize("stopped", [1, 2, 3, 5])
def test_an_interrupted_run_continues_bit_for_bit(name, stopped, model, pool, tmp_path):
    options = {"algorithm": name, "optimiser": {"minibatches": 2}}
    whole = trainer(tmp_path / "whole", model, pool, **options).train(steps=6)
    with pytest.raises(KeyboardInterrupt):
        trainer(tmp_path / "cut", model, pool, log=Log(stopped), **options).train(steps=6)
    resumed = trainer(tmp_path / "cut", model, pool, **options)
    assert resumed.restore() == (stopped - 1) // 2 * 2  # before the step was saved
    again = resumed.train(steps=6)
    assert weights_of(again.last) == weights_of(whole.last)
    assert metrics(tmp_path / "cut") == metrics(tmp_path / "whole")
    assert again.best_score == whole.best_score


@pytest.mark.parametrize("stopped", [1, 2, 3, 4, 5, 6])
def test_an_interrupted_ratchet_continues_bit_for_bit(stopped, model, pool, tmp_path):
    schedule = {"stages": 3, "steps": 2, "swap": "best"}
    whole = trainer(tmp_path / "whole", model, pool, algorithm="owpo")
    ratchet(whole, **schedule)
    with pytest.raises(KeyboardInterrupt):
        ratchet(
            trainer(tmp_path / "cut", model, pool, algorithm="owpo", log=Log(stopped)), **schedule
        )
    resumed = trainer(tmp_path / "cut", model, pool, algorithm="owpo")
    resumed.restore()
    ratchet(resumed, **schedule)
    assert metrics(tmp_path / "cut") == metrics(tmp_path / "whole")
    last = Path("stages", "02-train", "last")
    assert weights_of(tmp_path / "cut" / last) == weights_of(tmp_path / "whole" / last)


def test_the_weight_is_one_right_after_a_swap_of_the_reference(model, pool, tmp_path):
    log = Log()
    run = trainer(tmp_path / "run", model, pool, algorithm="owpo", log=log)
    ratchet(run, stages=2, steps=3, swap="current")
    assert log.steps[1]["weight"] == pytest.approx(1.0, abs=1e-5)
    assert log.steps[3]["weight"] != pytest.approx(1.0, abs=1e-3)
    assert log.steps[4]["weight"] == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize("name", ["grpo", "sym_dapo", "mopd"])
def test_the_ratchet_around_another_algorithm_continues_bit_for_bit(name, model, pool, tmp_path):
    """Killed after every second step; a reference is swapped after each third."""
    teacher = str(letters.write_model(tmp_path / "teacher", seed=1))
    same = {"algorithm": name, "teacher": teacher}
    ratchet(trainer(tmp_path / "whole", model, pool, **same), stages=2, steps=3)
    for stopped in (2, 4, 6, None):
        resumed = trainer(tmp_path / "cut", model, pool, log=Log(stopped), **same)
        resumed.restore()
        with nullcontext() if stopped is None else pytest.raises(KeyboardInterrupt):
            ratchet(resumed, stages=2, steps=3)
    assert letters.left_by(tmp_path / "cut") == letters.left_by(tmp_path / "whole")


@pytest.mark.parametrize("name", ["grpo", "sym_dapo"])
def test_the_kl_is_measured_from_the_swapped_reference(name, model, pool, tmp_path):
    log = Log()
    run = trainer(tmp_path / "run", model, pool, algorithm=name, log=log)
    ratchet(run, stages=2, steps=3)
    kl = {step: numbers["kl"] for step, numbers in log.steps.items()}
    assert kl[1] == pytest.approx(0.0, abs=1e-7)
    assert kl[3] > 1e-4
    assert kl[4] == pytest.approx(0.0, abs=1e-7)
    assert kl[6] > 1e-4


def test_a_swapped_teacher_has_nothing_to_teach_at_first(model, pool, tmp_path):
    teacher, log = str(letters.write_model(tmp_path / "teacher", seed=1)), Log()
    run = trainer(tmp_path / "run", model, pool, algorithm="opd_sampled", teacher=teacher, log=log)
    ratchet(run, stages=2, steps=3)
    assert log.steps[3]["grad_norm"] > 0.01
    assert log.steps[4]["grad_norm"] < 1e-4


def test_a_ratchet_around_an_algorithm_without_either_is_plain_training(model, pool, tmp_path):
    for name, program in (
        ("ratchet", lambda run: ratchet(run, stages=2, steps=2)),
        ("plain", lambda run: plain(run, steps=4)),
    ):
        program(trainer(tmp_path / name, model, pool, algorithm="dapo"))
    assert metrics(tmp_path / "ratchet") == metrics(tmp_path / "plain")


def test_a_finished_stage_is_not_trained_again(model, pool, tmp_path):
    first = trainer(tmp_path / "run", model, pool).train(steps=2)
    log = Log()
    resumed = trainer(tmp_path / "run", model, pool, log=log)
    resumed.restore()
    assert resumed.train(steps=2) == first
    assert log.steps == {}


def test_a_program_that_changes_its_calls_is_refused(model, pool, tmp_path):
    trainer(tmp_path / "run", model, pool).train(steps=2)
    resumed = trainer(tmp_path / "run", model, pool)
    resumed.restore()
    with pytest.raises(ConfigurationError, match="must repeat its calls"):
        resumed.train(steps=3)


@pytest.mark.parametrize("name", ["owpo", "grpo", "rebel", "dr_grpo", "gspo"])
def test_the_split_into_micro_batches_does_not_change_the_update(name, model, pool, tmp_path):
    moved = []
    for tokens in (30, 200, 100_000):
        run = trainer(
            tmp_path / str(tokens), model, pool, algorithm=name,
            optimiser={"micro_batch_tokens": tokens, "eps": 1e-3},
        )  # fmt: skip
        run.train(steps=1)
        moved.append(torch.cat([p.detach().flatten() for p in run.policy.model.parameters()]))
    torch.testing.assert_close(moved[0], moved[2], rtol=0, atol=1e-6)
    torch.testing.assert_close(moved[1], moved[2], rtol=0, atol=1e-6)


def test_dynamic_sampling_refills_within_its_bound_and_counts(model, pool, tmp_path):
    log = Log()
    bounded = {"max_refills": 3, "prompts": 12}
    trainer(tmp_path / "run", model, pool, algorithm="dapo", log=log, rollout=bounded).train(
        steps=4
    )
    for numbers in log.steps.values():
        assert numbers["refills"] <= 3
        assert numbers["groups"] <= 12
        assert numbers["groups"] == 12 or numbers["refills"] == 3
    kept = (tmp_path / "run" / "rollouts").glob("*.jsonl")
    for file in kept:
        rows = [json.loads(line) for line in file.read_text().splitlines()]
        by_prompt = {}
        for row in rows:
            by_prompt.setdefault(row["prompt"], set()).add(row["correct"])
        assert all(outcomes == {True, False} for outcomes in by_prompt.values())


def keep_none(rollout: RolloutBatch) -> torch.Tensor:
    return torch.zeros_like(rollout.correct)


def test_a_step_that_keeps_nothing_is_counted_and_leaves_the_weights(model, pool, tmp_path):
    log = Log()
    picky = replace(algorithms.dapo(), keep=piece(keep_none))
    stage = trainer(tmp_path / "run", model, pool, algorithm=picky, log=log).train(steps=1)
    assert log.steps[1]["groups"] == 0
    assert weights_of(stage.last) == weights_of(model)


def test_shuffled_rewards_keep_their_number_and_lose_their_place(model, pool, tmp_path):
    for control in ("none", "shuffled_rewards"):
        log = Log()
        trainer(
            tmp_path / control, model, pool, algorithm="grpo", log=log, rollout={"control": control}
        ).train(steps=1)
        rows = (tmp_path / control / "rollouts" / "step-000001.jsonl").read_text().splitlines()
        rows = [json.loads(row) for row in rows]
        if control == "none":
            truth = [letters.reward(row["response"], row) == row["score"] for row in rows]
            total = log.steps[1]["reward"]
            assert all(truth)
        else:
            assert log.steps[1]["reward"] == total
            assert [r["correct"] for r in rows] != [
                bool(letters.reward(r["response"], r)) for r in rows
            ]


def not_a_number(tokens: TokenBatch) -> torch.Tensor:
    return tokens.logprobs * float("nan")


def test_a_loss_that_is_no_number_stops_the_run_and_keeps_the_batch(model, pool, tmp_path):
    broken = replace(algorithms.reinforce(), name="broken", surrogate=piece(not_a_number))
    run = trainer(tmp_path / "run", model, pool, algorithm=broken)
    before = torch.cat([p.detach().flatten() for p in run.policy.model.parameters()])
    with pytest.raises(EngineError, match=r"loss of nan at step 1.*failed-step-000001"):
        run.train(steps=1)
    assert (tmp_path / "run" / "failed-step-000001.safetensors").exists()
    after = torch.cat([p.detach().flatten() for p in run.policy.model.parameters()])
    assert torch.equal(before, after)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("name", ["rewards", "rollout_logprobs"])
def test_a_column_with_a_number_that_is_none_stops_the_run(name, value, model, pool, tmp_path):
    run = trainer(tmp_path / "run", model, pool, algorithm="dr_grpo")
    rollout, _ = run._collector.collect(run._order, step=1, stage_step=0)
    column = rollout.batch[name].clone()
    column.view(-1)[0] = value
    spoiled = rollout.batch.with_columns(**{name: column})
    before = weights_digest(run)
    with pytest.raises(
        EngineError, match=rf"`{name}` of {value} \(1 times\) at step 1.*failed-step"
    ):
        run._updater.update(spoiled, rollout.prompts, run._state)
    kept = load_file(tmp_path / "run" / "failed-step-000001.safetensors")
    assert torch.equal(kept[name], column) or (value != value and kept[name].view(-1)[0].isnan())
    assert weights_digest(run) == before


def weights_digest(run) -> bytes:
    return b"".join(p.detach().numpy().tobytes() for p in run.policy.model.parameters())


def test_a_log_prob_that_is_no_number_stops_a_loss_that_would_hide_it(model, pool, tmp_path):
    deaf = replace(algorithms.reinforce(), name="deaf", surrogate=piece(hidden_loss))
    run = trainer(tmp_path / "run", model, pool, algorithm=deaf)
    rollout, _ = run._collector.collect(run._order, step=1, stage_step=0)
    with torch.no_grad():
        run.policy.model.lm_head.weight[3] = float("inf")
    with pytest.raises(EngineError, match=r"log-prob of (nan|-inf) at step 1"):
        run._updater.update(rollout.batch, rollout.prompts, run._state)


def hidden_loss(tokens: TokenBatch) -> torch.Tensor:
    return tokens.logprobs.nan_to_num(0.0, 0.0, 0.0)


def rooted_value_loss(tokens: TokenBatch) -> torch.Tensor:
    return (tokens.values - tokens.old_values).abs().sqrt()  # 0, with a gradient that is NaN


def test_a_critics_gradient_that_is_no_number_reaches_no_weight(model, pool, tmp_path):
    loss = piece(reads("values", "old_values")(rooted_value_loss))
    run = trainer(
        tmp_path / "run", model, pool, algorithm=replace(algorithms.ppo(), value_loss=loss)
    )
    critic = run._models.critic
    before = torch.cat([p.detach().flatten() for p in critic.parameters()])
    with pytest.raises(EngineError, match="critic's gradient norm of nan at step 1"):
        run.train(steps=1)
    assert torch.equal(before, torch.cat([p.detach().flatten() for p in critic.parameters()]))


@pytest.mark.parametrize("role", ["reference", "teacher"])
def test_a_model_with_another_tokenizer_is_refused_before_step_0(role, model, pool, tmp_path):
    other = letters.write_model(tmp_path / "other")
    file = other / "tokenizer.json"
    content = json.loads(file.read_text())
    words = content["model"]["vocab"]
    words["a"], words["b"] = words["b"], words["a"]
    file.write_text(json.dumps(content))
    algorithm = {"reference": "grpo", "teacher": "opd"}[role]
    with pytest.raises(ConfigurationError, match=f"The {role} .* another tokenizer"):
        trainer(tmp_path / "run", model, pool, algorithm=algorithm, **{role: str(other)})


def test_a_schedule_starts_with_its_start_whichever_clock_it_reads(model, pool, tmp_path):
    schedules = {clock: linear(1.0, 0.0, 4, clock) for clock in ("step", "stage_step")}
    for clock, coef in schedules.items():
        run = trainer(tmp_path / clock, model, pool, algorithm=algorithms.grpo(kl_coef=coef))
        rollouts = [
            run._collector.collect(run._order, step=n + 1, stage_step=n)[0].batch for n in range(3)
        ]
        values = [coef.at(step=b.step, stage_step=b.stage_step) for b in rollouts]
        assert values == [1.0, 0.75, 0.5]


def test_stored_rows_of_one_prompt_are_all_trained_on_and_stay_apart(model, pool, tmp_path):
    source = {"source": "dataset", "prompts": 4}
    run = trainer(tmp_path / "run", model, pool, algorithm="dpo", rollout=source)
    pairs = [Example(prompt="ab", chosen="a" * n, rejected="b") for n in (1, 2, 3, 4)]
    run._order = PromptOrder(pairs, seed=0, stored=True)
    rollout, _ = run._collector.collect(run._order, step=1, stage_step=0)
    assert sorted(rollout.texts) == ["a", "aa", "aaa", "aaaa", "b", "b", "b", "b"]
    assert torch.unique(rollout.batch.group_ids, return_counts=True)[1].tolist() == [2, 2, 2, 2]


def test_the_disk_is_bounded_by_keep_last_and_keep_best(model, pool, tmp_path):
    trainer(
        tmp_path / "run", model, pool, checkpoints={"every": 1, "keep_last": 2, "keep_best": 1}
    ).train(steps=6)
    left = sorted(p.name for p in (tmp_path / "run" / "checkpoints").iterdir())
    assert left[-2:] == ["step-00000005", "step-00000006"]
    assert len(left) <= 3


def test_old_logprobs_take_one_pass_only_where_several_updates_need_it(model, pool, tmp_path):
    for parts, expected in ((1, False), (2, True)):
        run = trainer(tmp_path / str(parts), model, pool, optimiser={"minibatches": parts})
        assert run._updater._needs_old_pass() is expected


def test_each_prompt_is_scored_by_its_own_teacher(model, pool, tmp_path):
    """Two teachers, routed by the rows' metadata, against each of them alone."""
    names = {"left": 1, "right": 2}
    where = {n: str(letters.write_model(tmp_path / n, seed=s)) for n, s in names.items()}
    plain = letters.task()
    routed = [
        replace(e, metadata={"teacher": "right" if e.answer in "aceg" else "left"})
        for e in plain.train
    ]
    task = replace(plain, train=routed)
    seen = {}

    def run(name: str, teacher: str | dict[str, str]) -> None:
        made = trainer(
            tmp_path / f"run-{name}", model, pool, algorithm="mopd", teacher=teacher, examples=task
        )
        rollout, _ = made._collector.collect(made._order, step=1, stage_step=0)
        batch = made._updater.with_columns(rollout.batch, rollout.prompts)
        seen[name] = batch.teacher_logprobs, [e.metadata["teacher"] for e in rollout.examples]

    run("left", where["left"])
    run("right", where["right"])
    run("both", where)
    both, routes = seen["both"]
    assert set(routes) == {"left", "right"}
    for row, route in enumerate(routes):
        torch.testing.assert_close(both[row], seen[route][0][row], rtol=0, atol=1e-6)
    assert not torch.allclose(seen["left"][0], seen["right"][0], atol=1e-2)


def test_exact_divergences_from_several_teachers_are_refused(model, pool, tmp_path):
    with pytest.raises(ConfigurationError, match="several teachers"):
        trainer(tmp_path / "run", model, pool, algorithm="opd", teacher={"a": "x", "b": "y"})


def test_no_token_of_owpo_moves_against_the_verdict_and_some_of_a_symmetric_pull_do(
    model, pool, tmp_path
):
    """Against a reference that is far away, in the steps after the first."""
    far = str(letters.write_model(tmp_path / "far", seed=5))
    shares = {}
    for name in ("owpo", "sym_dapo", "dapo"):
        log = Log()
        algorithm = algorithms.get(name, **({"kl_coef": 5.0} if name == "sym_dapo" else {}))
        run = trainer(
            tmp_path / name, model, pool, algorithm=algorithm, log=log, reference=far,
            optimiser={"minibatches": 2},
        )  # fmt: skip
        run.train(steps=3)
        shares[name] = [m["reversed"] for m in log.steps.values() if "reversed" in m]
    assert shares["owpo"]
    assert max(shares["owpo"] + shares["dapo"]) == 0
    assert min(shares["sym_dapo"]) > 0.2
