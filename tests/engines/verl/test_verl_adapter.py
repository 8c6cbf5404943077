"""What a verl user writes, what is refused before the start, how columns become fields."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from jumar import algorithms
from jumar.correction import corrected
from jumar.engines.local.stored import FixedBatch as Stored
from jumar.engines.local.stored import write_column
from jumar.engines.verl import columns, provision, replay, signals, values
from jumar.engines.verl.settings import ValueSettings, VerlSettings, read
from jumar.errors import ConfigurationError, DataError
from jumar.tasks.task import Example
from jumar.types import RolloutBatch


def record(**entries: Any) -> SimpleNamespace:
    return SimpleNamespace(**entries)


def verl_config(**changed: Any) -> Any:
    """What the adapter looks at in verl's configuration, with verl's defaults."""
    actor = record(
        use_kl_loss=False, entropy_coeff=0, ppo_mini_batch_size=4, ppo_epochs=1, shuffle=False,
        calculate_entropy=False, policy_loss=record(loss_mode="vanilla"),
        fsdp_config={"ulysses_sequence_parallel_size": 1},
    )  # fmt: skip
    actor.get = vars(actor).get
    rollout = record(top_p=1, top_k=-1, temperature=1.0, calculate_log_probs=True)
    found = record(
        actor_rollout_ref=record(actor=actor, rollout=rollout),
        algorithm=record(
            use_kl_in_reward=False,
            rollout_correction=record(rollout_is=None, rollout_rs=None, bypass_mode=False),
        ),
        data=record(train_batch_size=4),
        trainer=record(n_gpus_per_node=8, nnodes=1),
        critic=record(enable=None),
        distillation=record(enabled=False, distillation_loss=record(loss_mode="k3")),
    )
    for path, value in changed.items():
        place: Any = found
        *parents, last = path.split("__")
        for name in parents:
            place = getattr(place, name)
        setattr(place, last, value)
    return found


def check(name: str, *, stored: set[str] = frozenset(), config: Any = None, **given: Any) -> None:
    settings = VerlSettings(algorithm=name, **given)
    provision.check(settings.record(), settings, config or verl_config(), stored)


# ------------------------------------------------------------------ what is written


def test_an_algorithm_is_a_name_or_a_mapping_with_settings():
    assert read({"algorithm": "owpo"}).record() == algorithms.owpo()
    given = read({"algorithm": {"name": "owpo", "w_max": 4.0}})
    assert given.record() == algorithms.owpo(w_max=4.0)


def test_a_correction_for_the_sampler_is_part_of_the_algorithm():
    given = read({"algorithm": "owpo", "correction": {"kind": "masked", "ratio_max": 3.0}})
    assert given.record() == corrected(algorithms.owpo(), kind="masked", ratio_max=3.0)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (None, r"Add \+jumar.algorithm.name=owpo"),
        ({"algorithm": {"w_max": 2.0}}, r"Add \+jumar.algorithm.name=owpo"),
        ({"algorithm": "owpo", "batsh": "x"}, "Did you mean batch"),
        ({"algorithm": "owpo", "seed": -1}, "jumar.seed.*Correct it"),
        ({"algorithm": "a_star_po", "values": {"beta": 1}}, "jumar.values"),
    ],
)
def test_what_cannot_be_read_says_what_to_write(given, message):
    with pytest.raises(ConfigurationError, match=message):
        read(given)


# ------------------------------------------------------------------ what is refused


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("dqo", "the policy and the critic by one loss.*choose ppo"),
        ("gkd", "over the whole vocabulary.*Choose opd_sampled"),
        ("kdrl", "Set distillation.enabled=True"),
        ("a_star_po", "V.: the best value.*Set jumar.values.file"),
        ("erpd_student", "Set jumar.values.file for V.*jumar.signal"),
        ("dpo", "Set jumar.batch to a fixed batch"),
        ("cgpo_crpg", "Set jumar.values.file for V.*jumar.columns or jumar.reward_parts"),
        ("gdpo", "`reward_parts`.*which verl does not compute"),
    ],
)
def test_what_verl_cannot_give_is_refused_by_name(name, message):
    with pytest.raises(ConfigurationError, match=rf"(?s)`{name}` .*{message}"):
        check(name)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"actor_rollout_ref__actor__use_kl_loss": True}, "Write .*actor.use_kl_loss=False"),
        ({"actor_rollout_ref__actor__entropy_coeff": 0.01}, "Write .*entropy_coeff=0"),
        ({"algorithm__use_kl_in_reward": True}, "Write algorithm.use_kl_in_reward=False"),
        ({"algorithm__rollout_correction__rollout_is": "token"}, "rollout_is=null"),
        ({"actor_rollout_ref__rollout__top_p": 0.9}, "Set .*top_p=1"),
        ({"distillation__enabled": True}, "Set distillation.enabled=False"),
    ],
)
def test_terms_of_verls_own_are_not_left_out_without_a_word(changed, message):
    with pytest.raises(ConfigurationError, match=message):
        check("owpo", config=verl_config(**changed))


def test_a_teacher_that_answers_at_another_temperature_is_refused():
    config = verl_config(distillation__enabled=True, actor_rollout_ref__rollout__temperature=0.7)
    with pytest.raises(ConfigurationError, match=r"its teacher answers at 1.*temperature=1"):
        check("kdrl", config=config)


def test_log_probs_that_the_sampler_does_not_keep_are_refused():
    config = verl_config(actor_rollout_ref__rollout__calculate_log_probs=False)
    with pytest.raises(ConfigurationError, match=r"Set .*calculate_log_probs=True"):
        check("owpo", config=config, correction={"kind": "truncated"})
    check("owpo", config=config)


def test_a_group_that_ranks_would_tear_apart_is_refused():
    with pytest.raises(ConfigurationError, match="a multiple of the ranks"):
        check("rebel")
    check("rebel", config=verl_config(trainer__n_gpus_per_node=4))


def test_columns_that_come_too_late_for_a_fixed_batch_are_refused():
    with pytest.raises(ConfigurationError, match=r"old_values.*let verl sample"):
        check("ppo", batch=Path("batch"))
    check("dpo", batch=Path("batch"), config=verl_config(trainer__n_gpus_per_node=4))


# ------------------------------------------------------------------ which passes are needed


@pytest.mark.parametrize(
    ("name", "reference", "critic"),
    [("owpo", True, False), ("dapo", False, False), ("ppo", False, True)],
)
def test_declared_reads_switch_verls_passes(name, reference, critic):
    config = verl_config()
    provision.switch_passes(algorithms.get(name), config)
    assert config.actor_rollout_ref.actor.use_kl_loss is reference
    assert config.critic.enable is critic


def test_the_old_policy_takes_a_pass_only_where_it_is_not_the_current_one():
    assert not provision.needs_old_pass(algorithms.get("owpo"), verl_config())
    twice = verl_config(actor_rollout_ref__actor__ppo_epochs=2)
    assert provision.needs_old_pass(algorithms.get("owpo"), twice)
    assert not provision.needs_old_pass(algorithms.get("reinforce"), twice)
    assert provision.needs_old_pass(algorithms.get("empg"), verl_config())  # old entropies


# ------------------------------------------------------------------ columns and fields


def jagged(*rows: list[float]) -> torch.Tensor:
    tensors = [torch.tensor(row) for row in rows]
    return torch.nested.as_nested_tensor(tensors, layout=torch.jagged)


def sampled() -> dict[str, Any]:
    """Three answers to two prompts as verl keeps them; the first has a tool's output inside."""
    return {
        "prompts": jagged([7, 8], [7, 8], [9]),
        "responses": jagged([3, 0, 1], [3, 4, 5, 6], [1]),
        "response_mask": jagged([1, 0, 1], [1, 1, 1, 1], [1]),
        "rm_scores": jagged([0.0, 0.0, 1.0], [0.0, 0.0, 0.0, 0.5], [0.25]),
        "rollout_log_probs": jagged([-1.0, 0.0, -2.0], [-3.0, -4.0, -5.0, -6.0], [-7.0]),
        "teacher_logprobs": jagged(
            [-9.0, -1.5, -0.5, -2.5, 0.0], [-9.0, -3.5, -4.5, -5.5, -6.5, 0.0], [-7.5, 0.0]
        ),
        "uid": ["b", "b", "a"],
        "raw_prompt": [[{"role": "user", "content": text}] for text in ("1+1=", "1+1=", "2+2=")],
        "extra_fields": [
            {"reward_extra_info": {"acc": 1, "pred": "2"}},
            {"reward_extra_info": {"acc": 0, "pred": "3"}},
            {"reward_extra_info": {"acc": 0, "pred": "2"}},
        ],
        "extra_info": [{"baseline_rewards": 0.5}, {"baseline_rewards": 0.5}, {}],
    }


def rollout(**changed: Any) -> RolloutBatch:
    given: dict[str, Any] = {
        "step": 3, "seed": 5, "full_mark": 1.0, "reads": ["answer_ids"], "numbers": [],
        "parts": [], "end": 1, "limit": 4,
    }  # fmt: skip
    keys = ["b_0_0", "b_1_0", "a_0_0"]
    return columns.rollout_of(changed.pop("data", sampled()), keys, **given | changed)


def test_a_rollout_of_verls_becomes_columns():
    batch = rollout()
    assert batch.mask.tolist() == [
        [True, False, True, False], [True] * 4, [True, False, False, False],
    ]  # fmt: skip
    assert batch.rewards.tolist() == [1.0, 0.5, 0.25]
    assert batch.correct.tolist() == [True, False, False]
    assert batch.truncated.tolist() == [False, True, False]  # at the limit without an EOS
    assert batch.group_ids.tolist() == [1, 1, 0]
    assert batch.sample_ids.tolist() == [0, 1, 0]
    assert batch.prompt_ids[0] == Example(prompt="1+1=").prompt_id
    assert batch.answer_ids[0] == batch.answer_ids[2] != batch.answer_ids[1]
    assert batch.rollout_logprobs[0].tolist() == [-1.0, 0.0, -2.0, 0.0]


def test_a_teachers_log_prob_stands_at_the_token_that_it_is_of():
    assert rollout().teacher_logprobs.tolist() == [
        [-1.5, 0.0, -2.5, 0.0],  # the tool's token is masked
        [-3.5, -4.5, -5.5, -6.5],
        [-7.5, 0.0, 0.0, 0.0],
    ]


def test_without_a_verdict_a_full_score_is_correct():
    plain = sampled() | {"extra_fields": [{}, {}, {}]}
    assert rollout(data=plain, reads=[]).correct.tolist() == [True, False, False]
    assert rollout(data=plain, reads=[], full_mark=0.5).correct.tolist() == [True, True, False]


def test_numbers_come_from_the_data_set_or_the_reward_function():
    assert rollout(numbers=["acc"]).acc.tolist() == [1.0, 0.0, 0.0]
    assert rollout(parts=["acc", "pred"]).reward_parts.tolist() == [[1, 2], [0, 3], [0, 2]]
    with pytest.raises(DataError, match="no `baseline_rewards` for 1 of 3 responses"):
        rollout(numbers=["baseline_rewards"])
    whole = sampled() | {"extra_info": [{"baseline_rewards": n} for n in (0.5, 0.5, 1)]}
    assert rollout(data=whole, numbers=["baseline_rewards"]).baseline_rewards.tolist() == [
        0.5, 0.5, 1.0,
    ]  # fmt: skip


def test_an_answer_that_the_reward_function_does_not_name_is_missed():
    with pytest.raises(DataError, match=r"have no `pred` for 3 of 3.*Let the reward function"):
        rollout(data=sampled() | {"extra_fields": [{}, {}, {}]})


def test_rows_that_are_not_kept_are_zero_in_the_workers_batch():
    batch, lengths = rollout(), torch.tensor([3, 4, 1])
    kept, rows, _, metrics = signals.with_signals(algorithms.get("raft_pp"), batch, {})
    assert rows.tolist() == [0]  # the only correct one
    assert metrics["jumar/kept"] == pytest.approx(1 / 3)
    fields = signals.signal_fields(kept, rows, lengths)
    masks = [row.tolist() for row in fields["jumar_mask"].unbind()]
    assert masks == [[True, False, True], [False] * 4, [False]]
    assert fields["jumar_rewards"].tolist() == [1.0, 0.0, 0.0]
    tokens = columns.tokens_of(
        fields | {name: sampled()[name] for name in ("responses", "rollout_log_probs")},
        torch.zeros(3, 4),
    )
    assert tokens.mask.sum() == 2
    assert tokens.rollout_logprobs[1].tolist() == [0.0] * 4


def test_a_rollout_of_which_nothing_is_kept_has_every_column_and_no_token():
    wrong = sampled() | {"extra_fields": [{"reward_extra_info": {"acc": 0}}] * 3}
    kept, rows, state, metrics = signals.with_signals(
        algorithms.get("owpo"), rollout(data=wrong, reads=[]).select(torch.arange(2)), {}
    )
    assert metrics["jumar/kept"] == 0
    fields = signals.signal_fields(kept, rows, torch.tensor([3, 4, 1]))
    assert not any(row.any() for row in fields["jumar_mask"].unbind())
    assert "jumar_active" in fields
    assert state == {}


# ------------------------------------------------------------------ values and fixed batches


def test_values_come_from_the_first_stage_or_from_verls_own_validation(tmp_path):
    ids = [Example(prompt=text).prompt_id for text in ("1+1=", "2+2=")]
    rewards = [[0.0, 1.0], [0.0, 0.0]]
    columns_of = {"prompt_ids": torch.tensor(ids), "rewards": torch.tensor(rewards)}
    save_file(columns_of, tmp_path / "rewards.safetensors")
    lines = [
        json.dumps({"input": text, "score": reward})
        for text, pair in zip(("user\n1+1=\n", "user\n2+2=\n"), rewards, strict=True)
        for reward in pair
    ]
    (tmp_path / "0.jsonl").write_text("\n".join(lines))
    kept = values.read_values(ValueSettings(file=tmp_path / "rewards.safetensors", beta_value=0))
    dumped = values.read_values(ValueSettings(file=tmp_path / "0.jsonl", beta_value=0))
    assert kept.column(ids).tolist() == [1.0, 0.0]
    texts = [columns.prompt_id(text) for text in ("user\n1+1=\n", "user\n2+2=\n")]
    assert dumped.column(texts).tolist() == [1.0, 0.0]
    assert (kept.of_whole_prompt, dumped.of_whole_prompt) == (False, True)
    with pytest.raises(DataError, match=r"1 of 2 responses' prompts.*data.train_files"):
        kept.column([ids[0], 17])
    with pytest.raises(ConfigurationError, match=r"is no file.*trainer.validation_data_dir"):
        values.read_values(ValueSettings(file=tmp_path / "none.jsonl"))


def stored(folder: Path, groups: int) -> VerlSettings:
    """A fixed batch of groups of two, as our own engine leaves it, with a signal."""
    rows = 2 * groups
    lengths = 1 + torch.arange(rows) % 3
    mask = torch.arange(3) < lengths[:, None]
    batch = RolloutBatch.build(
        mask=mask, token_ids=torch.arange(3 * rows).view(rows, 3) + 1,
        truncated=torch.zeros(rows).bool(), scores=torch.arange(rows) / rows,
        correct=torch.arange(rows) % 2 == 0, rewards=torch.arange(rows) / rows,
        group_ids=torch.arange(groups).repeat_interleave(2),
        prompt_ids=torch.arange(groups).repeat_interleave(2),
        sample_ids=torch.arange(rows) % 2, old_logprobs=-torch.ones(rows, 3),
    )  # fmt: skip
    prompts = [[100 + row // 2, 9] for row in range(rows)]
    Stored(batch=batch, prompts=prompts, lines=["{}"] * rows).write(folder / "batch")
    signal = torch.arange(3.0 * rows).view(rows, 3)
    write_column(folder / "signal", "signal", signal.masked_fill(~mask, 0))
    return VerlSettings(
        algorithm="erpd_student", batch=folder / "batch", signal=folder / "signal", seed=1
    )


def test_an_epoch_of_a_fixed_batch_is_each_group_once_in_an_order_of_its_own(tmp_path):
    fixed = replay.FixedBatch.read(stored(tmp_path, groups=6))
    orders = []
    for epoch in range(2):
        steps = [fixed.step(3 * epoch + place, 2).batch.group_ids for place in range(3)]
        orders.append([group for step in steps for group in torch.unique(step).tolist()])
        assert sorted(orders[-1]) == list(range(6))
    assert orders[0] != orders[1]
    with pytest.raises(ConfigurationError, match=r"Set data.train_batch_size to at most 6"):
        fixed.step(0, 7)


def test_the_signal_of_a_fixed_batch_is_whitened_over_the_whole_of_it(tmp_path):
    settings = stored(tmp_path, groups=6)
    fixed = replay.FixedBatch.read(settings)
    made = fixed.with_signals(settings.record(), fixed.batch)
    advantages = made.batch.advantages[made.batch.mask]
    assert advantages.mean().abs() < 1e-6
    torch.testing.assert_close(advantages.std(unbiased=False), torch.tensor(1.0), atol=0.1, rtol=0)
    part = made.step(0, 2)
    keys, rows, tags = part.as_sampled(1)
    assert len(keys) == len(rows) == len(tags) == 4
    assert {key.rsplit("_", 2)[0] for key in keys} == {row["uid"] for row in rows}
    row = rows[0]
    assert row["input_ids"].tolist() == [*row["prompts"].tolist(), *row["responses"].tolist()]
    assert tags[0]["seq_len"] == len(row["input_ids"])
    lengths = torch.tensor([len(row["responses"]) for row in rows])
    fields = signals.signal_fields(part.batch, torch.arange(4), lengths, there=replay.OF_VERL)
    assert fields["jumar_old_logprobs"].unbind()[0].tolist() == [-1.0] * int(lengths[0])


def test_a_step_may_have_only_short_responses_of_a_fixed_batch(tmp_path):
    settings = stored(tmp_path, groups=6)
    fixed = replay.FixedBatch.read(settings)
    made = fixed.with_signals(settings.record(), fixed.batch).batch
    short = (made.mask.sum(dim=1) < 3).nonzero()[:, 0]
    lengths = made.mask.sum(dim=1)[short]
    part = made.select(short)
    fields = signals.signal_fields(part, torch.arange(len(short)), lengths, there=replay.OF_VERL)
    rows = fields["jumar_signal"].unbind()
    assert [row.tolist() for row in rows] == [
        part.signal[row][:length].tolist() for row, length in enumerate(lengths.tolist())
    ]


def test_a_directory_that_is_no_fixed_batch_is_refused(tmp_path):
    with pytest.raises(ConfigurationError, match=r"which has no batch.safetensors.*Name that one"):
        replay.FixedBatch.read(VerlSettings(algorithm="sft", batch=tmp_path))
