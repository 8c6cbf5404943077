"""A TRL user's run with an algorithm of ours: TRL's parts work as ever, ours decides the loss."""

import json
from dataclasses import replace

import pytest
import torch
from made_trainers import PROMPTS, config, hosted, letters
from transformers import MixtralConfig, MixtralForCausalLM, TrainerCallback

from equivalence.peers import peer
from equivalence.trl_trainers import WARNINGS, WORDS, tiny_model, tiny_tokenizer
from jumar import algorithms
from jumar.engines.trl.requirements import warn_of_replaced
from jumar.errors import ConfigurationError, DataError
from jumar.pieces import piece
from jumar.types import Signals

pytestmark = [pytest.mark.slow, *(pytest.mark.filterwarnings(w) for w in WARNINGS)]


def weights(trainer):
    return torch.cat([p.detach().flatten() for p in trainer.model.parameters()])


def prompts():
    from datasets import Dataset

    return Dataset.from_dict({"prompt": list(PROMPTS)})


def mixed(completions, **_):
    """Half of each group is right, whatever it says."""
    return [float(i % 2) for i in range(len(completions))]


def test_a_policy_learns_what_the_reward_function_asks_for(tmp_path):
    trainer = hosted(tmp_path, algorithms.rloo(), settings={"max_steps": 25, "learning_rate": 0.1})
    trainer.train()
    rewards = [row["reward"] for row in trainer.state.log_history if "reward" in row]
    assert sum(rewards[-5:]) / 5 > sum(rewards[:5]) / 5 + 0.3


def test_reward_functions_callbacks_and_logs_are_trls(tmp_path):
    seen = []

    class Watching(TrainerCallback):
        def on_log(self, args, state, control, logs=None, **_):
            seen.append(logs)

    async def later(prompts, completions, question, trainer_state, log_metric, **_):
        log_metric("mine", 2.5)
        assert all(q.endswith("?") for q in question)
        return [float(trainer_state.global_step)] * len(completions)

    trainer = hosted(
        tmp_path,
        algorithms.owpo(),
        reward=[mixed, later],
        columns={"question": [f"{prompt}?" for prompt in PROMPTS]},
        settings={"reward_weights": [1.0, 0.25], "num_iterations": 2, "max_steps": 4},
        callbacks=[Watching()],
    )
    trainer.train()
    steps = [logs for logs in seen if "loss" in logs]
    assert [row["reward"] for row in steps if "reward" in row] == [0.5, 1.0]  # two rollouts
    assert {"rewards/mixed/mean", "rewards/later/mean", "mine", "grad_norm"} <= steps[0].keys()
    assert {"kept", "surrogate", "weight", "entropy"} <= steps[0].keys()
    assert steps[0]["weight"] == pytest.approx(1.0)  # the policy is its own reference
    assert trainer.rollouts == 2


def test_the_reference_is_loaded_where_it_is_read_and_the_configuration_stays(tmp_path):
    with_reference = hosted(tmp_path, algorithms.owpo())
    without = hosted(tmp_path, algorithms.grpo(kl_coef=0.0))
    assert with_reference.ref_model is not None
    assert without.ref_model is None
    assert with_reference.args.beta == without.args.beta == 0.0


def test_trls_own_callback_renews_the_reference(tmp_path):
    renewing = {"sync_ref_model": True, "ref_model_mixup_alpha": 1.0, "ref_model_sync_steps": 2}
    trainer = hosted(tmp_path, algorithms.owpo(), reward=mixed, settings=renewing)
    first = weights(trainer)
    trainer.train()
    renewed = torch.cat([p.flatten() for p in trainer.ref_model.parameters()])
    assert not torch.equal(renewed, first)
    assert torch.equal(renewed, weights(trainer))


def test_settings_that_the_algorithm_replaces_are_named(tmp_path):
    args = config(tmp_path, beta=0.04, loss_type="grpo", epsilon_high=0.3)
    said = r"beta=0.04, epsilon_high=0.3, loss_type='grpo'.*`owpo` brings its own.*`jumar show owpo"
    with pytest.warns(UserWarning, match=said):
        warn_of_replaced(algorithms.owpo(), args)


def test_vllms_correction_is_named_because_nothing_applies_it(tmp_path):
    args = config(tmp_path)
    warn_of_replaced(algorithms.owpo(), args)  # says nothing: a warning would be an error
    args.use_vllm = True
    with pytest.warns(UserWarning, match=r"vllm_importance_sampling_correction=True: without"):
        warn_of_replaced(algorithms.owpo(), args)


def counted(rollout, state):
    """Advantage 1, and a state that counts the rollouts and the rows it has seen."""
    seen = state["seen"] + torch.tensor([1, len(rollout)])
    return Signals(advantages=torch.ones_like(rollout.rewards)), {"seen": seen}


def nothing_seen():
    return {"seen": torch.zeros(2, dtype=torch.long)}


COUNTING = replace(algorithms.reinforce(), advantage=piece(counted), init_state=piece(nothing_seen))


def test_the_algorithms_state_is_in_the_checkpoint_and_is_resumed(tmp_path):
    saving = {"save_strategy": "steps", "save_steps": 2, "max_steps": 2}
    first = hosted(tmp_path, COUNTING, settings=saving)
    first.train()
    assert first.algorithm_state["seen"].tolist() == [2, 32]
    second = hosted(tmp_path, COUNTING, settings={**saving, "max_steps": 3})
    second.train(resume_from_checkpoint=str(tmp_path / "run" / "checkpoint-2"))
    assert second.algorithm_state["seen"].tolist() == [3, 48]
    assert second.rollouts == 3


def test_a_checkpoint_of_another_trainer_is_refused(tmp_path):
    saving = {"save_strategy": "steps", "save_steps": 2, "max_steps": 2}
    hosted(tmp_path, COUNTING, settings=saving).train()
    (tmp_path / "run" / "checkpoint-2" / "jumar.safetensors").unlink()
    with pytest.raises(DataError, match=r"Another trainer wrote it.*Pass it as `model`"):
        hosted(tmp_path, COUNTING, settings=saving).train(resume_from_checkpoint=True)


def test_an_evaluation_has_a_loss_and_changes_nothing(tmp_path):
    evaluating = {"eval_strategy": "steps", "eval_steps": 1, "per_device_eval_batch_size": 4}
    trainer = hosted(
        tmp_path,
        COUNTING,
        settings=evaluating,
        eval_dataset=prompts(),
    )
    trainer.train()
    evaluations = [row for row in trainer.state.log_history if "eval_loss" in row]
    assert len(evaluations) == 2
    assert evaluations[0]["eval_kept"] == 1.0
    assert trainer.algorithm_state["seen"].tolist() == [2, 32]
    assert trainer.rollouts == 2


def test_schedules_run_by_rollouts(tmp_path):
    """beta falls from 1 to 0 between the first and the second rollout, two steps each."""
    from jumar.schedules import linear

    class Recording(TrainerCallback):
        def __init__(self):
            self.coefs = []

        def on_step_end(self, args, state, control, **_):
            self.coefs.append(trainer._scale.step)

    recording = Recording()
    trainer = hosted(
        tmp_path,
        algorithms.grpo(kl_coef=linear(1.0, 0.0, 1)),
        settings={"num_iterations": 2, "max_steps": 4},
        callbacks=[recording],
    )
    trainer.train()
    assert recording.coefs == [0, 0, 1, 1]


@pytest.mark.parametrize("reward", [None, 1.0])
def test_a_rollout_that_teaches_nothing_moves_nothing(tmp_path, reward):
    trainer = hosted(
        tmp_path,
        algorithms.dapo(),
        reward=lambda completions, **_: [reward] * len(completions),
        settings={"max_steps": 1, "optim": "sgd"},
    )
    before = weights(trainer)
    trainer.train()
    assert torch.equal(weights(trainer), before)
    assert trainer.state.log_history[0]["kept"] == 0.0


def test_truncated_responses_that_trl_masks_count_nowhere(tmp_path):
    trainer = hosted(
        tmp_path,
        algorithms.reinforce(),
        reward=mixed,
        settings={"mask_truncated_completions": True, "max_steps": 1, "max_completion_length": 2},
    )
    trainer.train()
    cut = trainer.state.log_history[0]["completions/clipped_ratio"]
    assert 0 < cut < 1
    assert int(trainer._scale.responses) == round(16 * (1 - cut))


def test_the_table_of_responses_shows_our_advantages(tmp_path):
    trainer = hosted(tmp_path, algorithms.rloo(), reward=mixed, settings={"max_steps": 1})
    trainer.train()
    shown = torch.tensor(list(trainer._logs["advantages"]))
    torch.testing.assert_close(shown, torch.tensor([-2 / 3, 2 / 3] * 8))  # TRL's are +-0.87


def test_a_teacher_by_name_is_loaded_and_another_tokenizer_refused(tmp_path):
    teacher = tmp_path / "teacher"
    tiny_model(teacher).float().save_pretrained(teacher)
    tiny_tokenizer().save_pretrained(teacher)
    trainer = hosted(
        tmp_path,
        algorithms.kdrl(),
        teacher=str(teacher),
        model=tiny_model(tmp_path / "model").float(),
        settings={"max_steps": 1},
    )
    trainer.train()
    assert not any(p.requires_grad for p in trainer.teacher.parameters())
    other = json.loads((teacher / "tokenizer.json").read_text())
    vocabulary = other["model"]["vocab"]
    vocabulary["a"], vocabulary["b"] = vocabulary["b"], vocabulary["a"]
    (teacher / "tokenizer.json").write_text(json.dumps(other))
    with pytest.raises(ConfigurationError, match=r"other words to it\. Choose a teacher"):
        hosted(
            tmp_path,
            algorithms.kdrl(),
            teacher=str(teacher),
            model=tiny_model(tmp_path / "model").float(),
        )


def test_the_load_balancing_loss_of_a_mixture_of_experts_stays(tmp_path):
    """Both micro-batches' auxiliary losses, averaged, times TRL's coefficient."""
    losses = {}
    for coef in (0.0, 2.0):
        torch.manual_seed(0)
        model = MixtralForCausalLM(
            MixtralConfig(
                vocab_size=len(WORDS), hidden_size=8, intermediate_size=16, num_hidden_layers=1,
                num_attention_heads=2, num_key_value_heads=2, num_local_experts=2,
                pad_token_id=0, eos_token_id=1, bos_token_id=None,
            )
        )  # fmt: skip
        trainer = hosted(
            tmp_path,
            algorithms.reinforce(),
            reward=mixed,
            model=model,
            settings={"router_aux_loss_coef": coef, "max_steps": 1},
        )
        trainer.train()
        row = trainer.state.log_history[0]
        losses[coef] = row["loss"]
    auxiliary = (losses[2.0] - losses[0.0]) / 2
    assert 1.9 < auxiliary < 2.3  # top 2 of 2 experts: balanced as far as it can be


@pytest.mark.parametrize("name", ["owpo", "opd"])
def test_an_adapter_of_peft_is_trained_and_its_base_is_the_reference(tmp_path, name):
    peft = pytest.importorskip("peft")
    trainer = hosted(
        tmp_path,
        algorithms.get(name),
        reward=mixed,
        teacher=tiny_model(tmp_path / "teacher"),
        settings={"max_steps": 2},
        peft_config=peft.LoraConfig(r=2, target_modules=["q_proj", "v_proj"]),
    )
    before = {n: p.detach().clone() for n, p in trainer.model.named_parameters()}
    trainer.train()
    moved = {n for n, p in trainer.model.named_parameters() if not torch.equal(p, before[n])}
    assert trainer.ref_model is None
    assert moved
    assert all("lora" in n for n in moved)
    if name == "owpo":
        assert trainer.state.log_history[0]["weight"] == pytest.approx(1.0)


def test_without_a_configuration_there_is_a_directory_by_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("jumar.engines.trl.trainer.GRPOConfig", config_on_cpu)
    from jumar.engines.trl import JumarGRPOTrainer

    trainer = JumarGRPOTrainer(
        tiny_model(tmp_path / "small"),
        letters,
        train_dataset=prompts(),
        processing_class=tiny_tokenizer(),
        algorithm=algorithms.rloo(),
    )
    assert trainer.args.output_dir == "small-rloo"


def config_on_cpu(directory):
    return peer("trl").GRPOConfig(directory, use_cpu=True, bf16=False, report_to=[])


def test_images_are_refused(tmp_path, monkeypatch):
    trainer = hosted(tmp_path, algorithms.rloo())
    parent = peer("trl").GRPOTrainer
    monkeypatch.setattr(
        parent, "_generate_and_score_completions", lambda self, inputs: {"pixel_values": 0}
    )
    with pytest.raises(DataError, match=r"got images.*Train on a data set without images"):
        trainer._generate_and_score_completions([])


def test_configurations_that_trl_refuses_are_refused_before_a_model_is_loaded(tmp_path):
    with pytest.raises(ConfigurationError, match="would mix two rollouts"):
        hosted(
            tmp_path,
            algorithms.owpo(),
            model="no/such-model",
            settings={"steps_per_generation": 3},
        )
