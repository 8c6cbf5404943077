"""Training an adapter: it learns, resumes bit for bit, and leaves what other libraries load."""

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import letters
import pytest
import torch
from letters import Log, left_by, trainer
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from jumar import Run
from jumar.engines.local.adapter_files import read_adapter
from jumar.engines.local.anchors import load_frozen
from jumar.engines.local.forward import response_logprobs
from jumar.engines.local.lora import Shared
from jumar.engines.local.models import load_model
from jumar.engines.local.sampler import Sampling
from jumar.engines.local.trainer import LocalTrainer
from jumar.errors import ConfigurationError, DataError, EngineError
from jumar.programs import made
from jumar.programs.a_star_po import a_star_po
from jumar.programs.erpd import erpd
from jumar.programs.plain import plain
from jumar.programs.ratchet import ratchet

peft = pytest.importorskip("peft", reason="the extra jumar[lora] is not installed")

RANK = {"rank": 4, "alpha": 8}
FAST = {"learning_rate": 1e-2}
HERE = [[5, 6, 7], [8, 9]]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where runs share what was sampled: nothing is there at first."""
    monkeypatch.setenv("JUMAR_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def start(directory: Path, model: Path, pool: Any, **options: Any) -> LocalTrainer:
    optimiser = {**FAST, **options.pop("optimiser", {})}
    return trainer(directory, model, pool, **{"lora": RANK, "optimiser": optimiser, **options})


def said(model: Any) -> torch.Tensor:
    """[2, 5] nats."""
    ids = torch.arange(10).view(2, 5) + 4
    with torch.no_grad():
        return response_logprobs(model, HERE, ids, ids > 0, sampling=Sampling())


# ------------------------------------------------------------------ learning and resuming


def decided_model(directory: Path) -> Path:
    """A model of larger weights: those that are not adapted leave room to be sure of a letter."""
    file = letters.write_model(directory) / "model.safetensors"
    weights = {k: 8 * w if w.dim() > 1 else w for k, w in load_file(file).items()}
    save_file(weights, file, metadata={"format": "pt"})
    return directory


def test_an_adapter_learns_letters(pool, tmp_path):
    log, model = Log(), decided_model(tmp_path / "model")
    run = start(
        tmp_path / "run", model, pool, algorithm="dr_grpo", log=log,
        optimiser={"learning_rate": 3e-2}, rollout={"prompts": 12, "responses": 8},
    )  # fmt: skip
    run.train(steps=8)
    assert log.steps[1]["reward"] < 0.85
    assert min(log.steps[step]["reward"] for step in (6, 7, 8)) > 0.92


PROGRAMS: dict[str, tuple[str, dict[str, Any], Callable[[LocalTrainer], Any]]] = {
    "plain": ("grpo", {"optimiser": {"minibatches": 2}}, lambda run: plain(run, steps=4)),
    "ratchet": ("owpo", {}, lambda run: ratchet(run, stages=2, steps=2, swap="best")),
    "erpd": (
        "implicit_ce", {},
        lambda run: erpd(
            run, batches=2, prompts=4, responses=2, prompts_per_step=2, teacher_steps=2,
            student_steps=1, strategy="ensemble", unlearn_steps=1, recover="implicit_ce",
            online_steps=1,
        ),
    ),
    "a_star_po": (
        "a_star_po", {"made": made("a_star_po"), "rollout": {"only_prompts": 6, "prompts": 3}},
        lambda run: a_star_po(run, steps=3, samples=2),
    ),
}  # fmt: skip


class Photographer(Log):
    """Copies the run's directory at every call: what a kill would leave there."""

    def __init__(self, directory: Path, album: Path) -> None:
        super().__init__()
        self.directory, self.album = directory, album

    def called(self) -> None:
        super().called()
        shutil.copytree(self.directory, self.album / f"{self.calls:03d}")


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow) if n == "erpd" else n for n in PROGRAMS]
)
def test_a_program_ends_in_the_same_bits_wherever_it_is_killed(name, model, pool, tmp_path):
    algorithm, options, program = PROGRAMS[name]
    log = Photographer(tmp_path / "run", tmp_path / "album")
    whole = start(tmp_path / "run", model, pool, algorithm=algorithm, log=log, **options)
    program(whole)
    left = left_by(tmp_path / "run")
    photographs = sorted((tmp_path / "album").iterdir())
    assert len(photographs) > 3
    for photograph in photographs:
        resumed = start(photograph, model, pool, algorithm=algorithm, **options)
        resumed.restore()
        program(resumed)
        assert left_by(photograph) == left, photograph.name
        assert len(resumed.policy.model.peft_config) <= 2  # the policy and one reference


def test_a_run_in_low_precision_has_an_adapter_in_float32_and_resumes_exactly(
    model, pool, tmp_path
):
    low = {"loading": {"dtype": "bfloat16"}, "algorithm": "owpo"}
    whole = start(tmp_path / "whole", model, pool, **low).train(steps=4)
    with pytest.raises(KeyboardInterrupt):
        start(tmp_path / "cut", model, pool, log=Log(3), **low).train(steps=4)
    again = start(tmp_path / "cut", model, pool, **low)
    assert again.restore() == 2
    again.train(steps=4)
    assert left_by(tmp_path / "cut") == left_by(tmp_path / "whole")
    tensors = load_file(whole.last / "adapter_model.safetensors").values()
    assert {tensor.dtype for tensor in tensors} == {torch.float32}
    assert {p.dtype for n, p in again.policy.model.named_parameters() if ".lora_" not in n} == {
        torch.bfloat16
    }


def test_the_weight_is_one_right_after_the_stage_became_the_reference(model, pool, tmp_path):
    log = Log()
    run = start(tmp_path / "run", model, pool, algorithm="owpo", log=log)
    ratchet(run, stages=2, steps=3)
    assert log.steps[1]["weight"] == log.steps[4]["weight"] == 1.0
    assert log.steps[3]["weight"] != pytest.approx(1.0, abs=1e-3)
    assert log.steps[4]["kl"] == 0.0


def test_measuring_changes_nothing_of_the_training(model, pool, tmp_path):
    asked = {"distance_every": 1, "alignment_every": 1, "prompts": 2}
    for name, diagnostics in (("plain", {}), ("watched", asked)):
        start(tmp_path / name, model, pool, diagnostics=diagnostics).train(steps=2)
    one, other = (letters.lines_of(tmp_path / d / "metrics.jsonl") for d in ("plain", "watched"))
    assert one == other
    first = json.loads((tmp_path / "watched" / "diagnostics.jsonl").read_text().splitlines()[0])
    assert first["what"] == "distance"
    assert first["reverse_kl"] > 0


def test_the_rewards_of_a_switched_off_adapter_are_those_of_the_base(model, pool, cache, tmp_path):
    options = {"algorithm": "a_star_po", "made": made("a_star_po")}
    few = {"rollout": {"only_prompts": 6, "prompts": 3}}
    whole = trainer(tmp_path / "whole", model, pool, **options, **few)
    found = whole.reference_rewards(samples=2)
    run = start(tmp_path / "lora", model, pool, **options, **few)
    assert run.reference_rewards(samples=2) == found
    assert len([path for path in cache.glob("rewards-*") if path.suffix != ".lock"]) == 1


# ------------------------------------------------------------------ what a checkpoint holds


def test_a_checkpoint_holds_the_adapter_its_moments_and_the_name_of_the_base(model, pool, tmp_path):
    run = start(tmp_path / "run", model, pool)
    run.train(steps=2)
    saved = tmp_path / "run" / "checkpoints" / "step-00000002"
    assert sorted(path.name for path in (saved / "model").iterdir()) == [
        "adapter_config.json", "adapter_model.safetensors", "base.json",
    ]  # fmt: skip
    own = sum(p.numel() for p in run.policy.model.parameters() if p.requires_grad)
    moments = load_file(saved / "policy-optimiser.safetensors")
    assert sum(t.numel() for name, t in moments.items() if not name.endswith(".step")) == 2 * own
    base = json.loads((saved / "model" / "base.json").read_text())
    assert base["name"] == str(model)
    assert len(base["sha256"]) == 64


def test_another_base_is_refused_by_name(model, pool, tmp_path):
    start(tmp_path / "run", model, pool).train(steps=2)
    other = letters.write_model(tmp_path / "other", seed=1)
    run = start(tmp_path / "run", other, pool)
    with pytest.raises(EngineError, match="of another run, with other inputs: model"):
        run.restore()


def test_a_base_that_was_changed_in_its_place_is_refused(model, pool, tmp_path):
    base = shutil.copytree(model, tmp_path / "base")
    start(tmp_path / "run", base, pool).train(steps=2)
    weights = load_file(base / "model.safetensors")
    weights["model.norm.weight"] += 1e-6
    save_file(weights, base / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(EngineError, match="of another run, with other inputs: model"):
        start(tmp_path / "run", base, pool).restore()
    with pytest.raises(DataError, match="and there is now"):
        load_model(tmp_path / "run" / "stages" / "00-train" / "last")


def test_another_rank_alpha_or_choice_of_layers_is_refused(model, pool, tmp_path):
    stage = start(tmp_path / "run", model, pool).train(steps=1)
    for name, lora in {
        "rank": {"rank": 3, "alpha": 8},
        "alpha": {"rank": 4, "alpha": 9},
        "layers": {**RANK, "target_modules": ["q_proj"]},
    }.items():
        run = start(tmp_path / name, model, pool, lora=lora)
        (tmp_path / name / "theirs").symlink_to(stage.last)
        with pytest.raises(DataError, match=r"The adapter .*(rank|alpha)"):
            run.adopt(tmp_path / name / "theirs", steps=1)


# ------------------------------------------------------------------ loaded by others


@pytest.fixture
def trained(model: Path, pool: Any, tmp_path: Path) -> tuple[LocalTrainer, Path]:
    """A run after three steps, and a directory with its adapter and its merged model."""
    run = start(tmp_path / "run", model, pool)
    run.train(steps=3)
    run.policy.whole_writer()(tmp_path / "final")
    run.policy.writer()(tmp_path / "adapter")
    return run, tmp_path


def test_the_merged_directory_is_a_plain_one(trained, model):
    run, place = trained
    plain_names = {path.name for path in model.iterdir()}
    assert {path.name for path in (place / "final").iterdir()} == plain_names
    assert load_file(place / "final" / "model.safetensors").keys() == (
        load_file(model / "model.safetensors").keys()
    )
    theirs = AutoModelForCausalLM.from_pretrained(place / "final")
    torch.testing.assert_close(said(theirs), said(run.policy.model), rtol=0, atol=1e-6)
    assert (said(theirs) - said(load_model(model)[0])).abs().max() > 1e-2


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`")  # peft asks transformers for it
def test_peft_loads_the_adapter(trained, model):
    run, place = trained
    theirs = peft.PeftModel.from_pretrained(
        AutoModelForCausalLM.from_pretrained(model), place / "adapter"
    )
    assert torch.equal(said(theirs.get_base_model()), said(run.policy.model))
    own = peft.AutoPeftModelForCausalLM.from_pretrained(place / "adapter")
    assert torch.equal(said(own.get_base_model()), said(run.policy.model))


def test_an_adapter_is_a_model_wherever_one_is_named(trained, model):
    """It is loaded as its base with the adapter merged: bit for bit what final/ holds."""
    _, place = trained
    merged, final = load_model(place / "adapter")[0], load_model(place / "final")[0]
    weights = final.state_dict()
    assert merged.state_dict().keys() == weights.keys()
    assert all(torch.equal(weight, weights[k]) for k, weight in merged.state_dict().items())


def test_reading_an_adapter_needs_no_peft(trained, monkeypatch):
    _, place = trained
    monkeypatch.setitem(sys.modules, "peft", None)
    load_model(place / "adapter")


# ------------------------------------------------------------------ references and teachers


def test_models_of_the_same_base_share_it_however_they_are_named(trained, model, pool, monkeypatch):
    run, place = trained
    (place / "linked").symlink_to(model)
    monkeypatch.chdir(model.parent)
    for name in (str(model), model.name, f"./{model.name}", str(place / "linked")):
        found = load_frozen(name, "reference", run.policy, run.settings.loading)
        assert isinstance(found, Shared)
        assert torch.equal(said(found), said(load_model(model)[0]))
    last = place / "run" / "stages" / "00-train" / "last"
    for directory in (last, place / "adapter", place, place / "run/checkpoints/step-00000003"):
        found = load_frozen(directory, "teacher", run.policy, run.settings.loading)
        assert isinstance(found, Shared)
        assert torch.equal(said(found), said(run.policy.model))


def test_an_adapter_of_another_base_is_a_model_of_its_own(trained, pool, tmp_path):
    run, _ = trained
    other = letters.write_model(tmp_path / "other", seed=1)
    elsewhere = start(tmp_path / "elsewhere", other, pool).train(steps=1)
    found = load_frozen(elsewhere.last, "teacher", run.policy, run.settings.loading)
    assert not isinstance(found, Shared)
    assert torch.equal(said(found), said(load_model(elsewhere.last)[0]))


def test_teachers_that_are_adapters_teach_as_their_merged_models_do(trained, model, pool, tmp_path):
    _, place = trained
    kl = {}
    for name, teacher in (("adapter", place / "adapter"), ("merged", place / "final")):
        log = Log()
        options = {"algorithm": "opd", "teacher": str(teacher), "log": log}
        run = start(tmp_path / name, model, pool, **options)
        run.train(steps=2)
        kl[name] = [numbers["grad_norm"] for numbers in log.steps.values()]
        shares = isinstance(run._models.teachers[0], Shared)
        assert shares is (name == "adapter")
    assert kl["adapter"] == pytest.approx(kl["merged"], rel=1e-3)
    assert kl["adapter"][0] > 1e-3


# ------------------------------------------------------------------ whole runs


def run_of(model: Path, out: Path, **changes: Any) -> Run:
    fields: dict[str, Any] = {
        "program": {"name": "plain", "steps": 2},
        "rollout": {"prompts": 3, "responses": 4, "max_response_tokens": 8},
        "optimiser": {"learning_rate": 3e-2},
        "evaluation": {"every": 2, "prompts": 2, "final_prompts": 4, "final_samples": 2},
        "scoring": {"workers": 1},
        "lora": RANK,
    }
    return Run(
        model=str(model), task=letters.task(), out=out, **{"algorithm": "grpo", **fields, **changes}
    )


def test_a_run_leaves_the_merged_model_and_the_adapter_beside_it(model, tmp_path):
    out = tmp_path / "run"
    run_of(model, out).train(observer=Log())
    assert not (out / "final" / "adapter_config.json").exists()  # transformers would add it again
    merged, final = load_model(out / "adapter")[0], load_model(out / "final")[0]
    assert torch.equal(said(merged), said(final))
    assert not torch.equal(said(final), said(load_model(model)[0]))
    assert "rank: 4" in (out / "config.yaml").read_text()


def test_without_peft_nothing_is_loaded_or_written(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'jumar\[lora\]'"):
        run_of(Path("nowhere"), tmp_path / "run").train(observer=Log())
    assert not (tmp_path / "run").exists()


# ------------------------------------------------------------------ refused


@pytest.mark.parametrize("name", ["ppo", "vapo"])
def test_a_critic_is_refused_before_step_0(name, model, pool, tmp_path):
    with pytest.raises(ConfigurationError, match=r"has a critic.*Leave lora\.rank out"):
        start(tmp_path / "run", model, pool, algorithm=name)


def test_a_fit_with_a_critic_is_refused_and_leaves_the_policy(model, pool, tmp_path):
    run = start(tmp_path / "run", model, pool)
    before = said(run.policy.model)
    batch = run.sample(prompts=2, responses=2)
    with pytest.raises(ConfigurationError, match="has a critic"):
        run.fit(batch, steps=1, prompts=2, algorithm={"name": "ppo"})
    assert torch.equal(said(run.policy.model), before)


def test_without_peft_lora_is_refused_with_what_to_install(model, pool, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'jumar\[lora\]'"):
        start(tmp_path / "run", model, pool)
    trainer(tmp_path / "whole", model, pool).train(steps=1)


CHANGES: dict[str, dict[str, Any]] = {
    "use_dora=True": {"use_dora": True},
    "use_rslora=True": {"use_rslora": True},
    "modules_to_save=": {"modules_to_save": ["lm_head"]},
    "init_lora_weights=pissa": {"init_lora_weights": "pissa"},
    "megatron_config=": {"megatron_config": {"x": 1}},
    "of the kind ADALORA": {"peft_type": "ADALORA"},
    "something_new=1": {"something_new": 1},
    "cannot be read": {"r": None},
}


@pytest.mark.parametrize("reason", CHANGES)
def test_what_is_no_plain_lora_is_refused_with_the_reason(reason, trained):
    _, place = trained
    file = place / "adapter" / "adapter_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **CHANGES[reason]}))
    with pytest.raises(DataError, match=rf"{reason}.*needs a plain LoRA.*merge the adapter"):
        read_adapter(place / "adapter")


@pytest.mark.parametrize("change", ["half", "other", "none"])
def test_tensors_that_are_no_pairs_are_refused(change, trained):
    _, place = trained
    file = place / "adapter" / "adapter_model.safetensors"
    tensors = load_file(file)
    first = next(iter(tensors))
    if change == "half":
        del tensors[first]
    if change == "other":
        tensors["base_model.model.lm_head.weight"] = torch.zeros(2, 2)
    save_file(tensors, file)
    if change == "none":
        file.unlink()
    with pytest.raises(DataError, match="The adapter"):
        load_model(place / "adapter")


def test_a_layer_that_the_base_has_not_is_refused(trained):
    _, place = trained
    file = place / "adapter" / "adapter_model.safetensors"
    save_file({k.replace("layers.1", "layers.7"): v for k, v in load_file(file).items()}, file)
    with pytest.raises(DataError, match=r"changes model\.layers\.7"):
        load_model(place / "adapter")


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`")  # peft asks transformers for it
def test_an_adapter_that_peft_made_is_a_teacher_by_the_name_of_its_base(trained, model, tmp_path):
    run, _ = trained
    theirs = peft.get_peft_model(
        AutoModelForCausalLM.from_pretrained(model),
        peft.LoraConfig(r=3, target_modules=["o_proj"], init_lora_weights="gaussian"),
    )
    for name, weight in theirs.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight)
    theirs.save_pretrained(tmp_path / "theirs")
    found = load_frozen(tmp_path / "theirs", "teacher", run.policy, run.settings.loading)
    assert isinstance(found, Shared)
    assert torch.equal(said(found), said(theirs.get_base_model()))
