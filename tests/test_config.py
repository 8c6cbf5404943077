"""Recipes: what is wrong is said in one message, with the place and the nearest valid name."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from jumar import algorithms, programs, recipes
from jumar.config import AlgorithmConfig, ProgramConfig, RunConfig, dump, load, parse
from jumar.config.choices import ScheduleSettings, signature_of
from jumar.config.yaml_text import read, written
from jumar.engines.local import tiny
from jumar.engines.settings import EngineSettings
from jumar.errors import ConfigurationError
from jumar.schedules import Schedule
from jumar.tasks.task import Example, Task
from jumar.verifiers.score import VerifierSpec

SMALLEST = {"task": "gym:chain_sum", "algorithm": "owpo"}


def refused(**changes: Any) -> str:
    with pytest.raises(ConfigurationError) as caught:
        parse({**SMALLEST, **changes})
    return str(caught.value)


BAD = [
    ({"rollot": {}}, "`rollot`", "`rollout`"),
    ({"rollout": {"promts": 3}}, "`rollout.promts`", "Did you mean `rollout.prompts`?"),
    ({"learning_rate": 1e-3}, "`learning_rate`", "`optimiser.learning_rate`"),
    ({"optimiser": {"temperature": 1.0}}, "`optimiser.temperature`", "`rollout.temperature`"),
    ({"teacher_model": "x"}, "`teacher_model`", "`teacher`"),
    ({"zzz": 1}, "`zzz` is no setting", "There are: model, task"),
    ({"rollout": {"prompts": "64"}}, "`rollout.prompts` is '64'", "a whole number"),
    ({"rollout": {"prompts": 64.5}}, "`rollout.prompts` is 64.5", "whole number"),
    ({"rollout": {"prompts": True}}, "`rollout.prompts` is true", "whole number"),
    ({"rollout": {"prompts": 0}}, "`rollout.prompts` is 0", "at least 1"),
    ({"rollout": {"top_p": 1.5}}, "`rollout.top_p` is 1.5", "at most 1"),
    ({"rollout": 3}, "`rollout` is 3", "a group of settings"),
    ({"rollout": {"source": "disk"}}, "`rollout.source` is 'disk'", "'policy' or 'dataset'"),
    ({"scoring": {"partial_credit": "yes"}}, "`scoring.partial_credit`", "true or false"),
    ({"optimiser": {"betas": [0.9]}}, "`optimiser.betas.1` is missing", "Add it"),
    ({"optimiser": {"learning_rate": float("inf")}}, "`optimiser.learning_rate` is inf", "finite"),
    ({"optimiser": {"learning_rate": float("nan")}}, "`optimiser.learning_rate` is nan", "finite"),
    ({"seed": -1}, "`seed` is -1", "at least 0"),
    ({"seed": 2**63}, "`seed`", "less than"),
    ({"engine": "verl"}, "`engine` is 'verl'", "'local' or 'vllm'"),
    ({"task": ""}, "`task` is ''", "text"),
    ({"task": None}, "`task` is null", "text"),
    ({"task": "\ud800"}, "not Unicode", "Remove"),
    ({"algorithm": "owppo"}, "no algorithm `owppo`", "Did you mean owpo"),
    ({"algorithm": 3}, "`algorithm` is 3", "a name, or a group of settings with a name"),
    ({"algorithm": {"w_max": 3}}, "`algorithm.name` is missing", "`name: owpo`"),
    ({"algorithm": {"name": 3}}, "`algorithm.name` is 3", "text"),
    ({"algorithm": {"name": "owpo", "wmax": 3}}, "no setting of owpo", "`algorithm.w_max`"),
    ({"algorithm": {"name": "rloo", "zzz": 1}}, "`algorithm.zzz`", "It takes none."),
    ({"algorithm": {"name": "owpo", "w_max": "3"}}, "`algorithm.w_max` is '3'", "a number"),
    ({"algorithm": {"name": "owpo", "variant": "half"}}, "`algorithm.variant`", "'no_locking'"),
    ({"algorithm": {"name": "grpo", "kl_coef": "x"}}, "`algorithm.kl_coef` is 'x'", "a schedule"),
    (
        {"algorithm": {"name": "grpo", "kl_coef": {"start": 1, "end": 0, "step": 9}}},
        "`algorithm.kl_coef.step` is no setting",
        "`algorithm.kl_coef.steps`",
    ),
    ({"algorithm": {"name": "owpo", "w_max": {"start": 1}}}, "`algorithm.w_max`", "a number"),
    ({"program": "rachet"}, "no program `rachet`", "Did you mean ratchet?"),
    ({"program": {"name": "plain", "stages": 2}}, "no setting of plain", "`program.steps`?"),
    ({"program": {"name": "ratchet", "stages": 0}}, "stages=0", "at least 1"),
    ({"program": {"name": "plain", "steps": -5}}, "trains for -5 steps", "at least 1"),
    ({"rewards": [{"function": "length"}]}, "`rewards.0.function`", "file.py:function"),
    ({"rewards": [{"function": "a:b", "wieght": 2}]}, "`rewards.0.wieght`", "`rewards.0.weight`"),
]
TOGETHER = [
    ({"optimiser": {"decay": "linear"}}, "decay_steps` is not set", "decay_steps=200"),
    ({"optimiser": {"decay_steps": 9}}, "decay` is constant", "leave decay_steps out"),
    (
        {"optimiser": {"decay": "cosine", "decay_steps": 9}},
        "after the decay the learning rate is 0",
        "decay_steps=200",
    ),
    (
        {"rollout": {"source": "dataset", "control": "shuffled_rewards"}},
        "`rollout.control` is shuffled_rewards",
        "rollout.source=policy",
    ),
    (
        {"rollout": {"source": "dataset"}, "correction": {"kind": "masked"}},
        "`correction.kind` is masked",
        "correction.kind=none or rollout.source=policy",
    ),
    (
        {"rollout": {"source": "dataset"}, "rewards": [{"function": "a:b"}]},
        "never be called",
        "Leave rewards out",
    ),
    (
        {"scoring": {"partial_credit": False}, "rewards": [{"function": "a:b"}]},
        "`scoring.partial_credit` is false",
        "change nothing",
    ),
    ({"rewards": [{"function": "a:f"}, {"function": "b:f"}]}, "called f", "another `name`"),
    (
        {"rollout": {"prompts": 4}, "optimiser": {"minibatches": 8}},
        "`optimiser.minibatches` is 8",
        "at most rollout.prompts",
    ),
    ({"rollout": {"only_prompts": 4}}, "`rollout.only_prompts` is 4", "Raise only_prompts"),
    (
        {"program": {"name": "ratchet", "swap": "best"}, "evaluation": {"every": 0}},
        "no best checkpoint",
        "between 1 and 80",
    ),
    ({"vllm": {"patience": 5.0}}, "`vllm` has settings, but `engine` is local", "engine to vllm"),
    (
        {"engine": "vllm", "vllm": {"server": "localhost:8000"}},
        "`vllm.server` is localhost:8000",
        "http://127.0.0.1:8000",
    ),
    (
        {"engine": "vllm", "vllm": {"server": "http://a:1", "arguments": {"seed": 1}}},
        "would be ignored",
        "Give them to the server",
    ),
]


@pytest.mark.parametrize(("changes", "who", "what"), BAD + TOGETHER)
def test_bad_input_is_refused_with_its_place_and_what_to_do(
    changes: dict[str, Any], who: str, what: str
) -> None:
    message = refused(**changes)
    assert message.startswith("The run")
    assert who in message
    assert what in message
    assert "pydantic" not in message
    assert "<" not in message


def test_all_problems_are_told_at_once() -> None:
    message = refused(rollot={}, seed=-1, algorithm={"name": "owpo", "wmax": 3})
    assert "3 problems" in message
    assert all(name in message for name in ("`rollout`", "`seed`", "`algorithm.w_max`"))


def test_a_missing_task_and_algorithm_are_asked_for_by_example() -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse({})
    assert "`task: gym:chain_sum`" in str(caught.value)
    assert "`algorithm: owpo`" in str(caught.value)


@pytest.mark.parametrize("name", recipes.names())
def test_every_bundled_recipe_is_valid_and_says_what_it_is(name: str) -> None:
    config = load(name)
    assert config.program.total_steps >= 1
    first = recipes.path(name).read_text().splitlines()[0]
    assert first == f"# {recipes.description(name)}"
    assert len(recipes.description(name)) > 20


@pytest.mark.parametrize("name", recipes.names())
def test_what_is_dumped_is_the_same_run_again(name: str, tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(dump(load(name)))
    assert load(file) == load(name)
    assert dump(load(file)) == file.read_text()
    assert yaml.safe_load(file.read_text()) == read(file.read_text(), source="")


@pytest.mark.parametrize("name", algorithms.names())
def test_every_algorithm_gets_the_settings_that_a_recipe_resolves(name: str) -> None:
    config = parse({"task": "gsm8k", "algorithm": name})
    assert config.algorithm.settings.keys() == algorithms.card(name).settings.keys()
    assert algorithms.get(name, **config.algorithm.settings) == algorithms.get(name)


def test_an_alias_becomes_the_name_itself() -> None:
    assert parse({"task": "gsm8k", "algorithm": "a2po"}).algorithm.name == "a_star_po"


def test_a_schedule_in_a_recipe_is_a_schedule_in_the_record() -> None:
    schedule = {"start": 8, "end": 2, "steps": 80, "clock": "stage_step"}
    config = parse({**SMALLEST, "algorithm": {"name": "owpo", "active_samples": schedule}})
    record = algorithms.get("owpo", **config.algorithm.settings)
    given = Schedule(start=8, end=2, steps=80, clock="stage_step")
    assert record == algorithms.get("owpo", active_samples=given)
    again = parse(read(dump(config), source=""))
    assert again == config


def test_a_schedule_object_may_stand_where_its_mapping_may() -> None:
    given = Schedule(start=0.1, end=0.0, steps=9)
    config = parse({**SMALLEST, "algorithm": {"name": "grpo", "kl_coef": given}})
    assert config.algorithm.settings["kl_coef"]["steps"] == 9


def test_the_settings_of_a_schedule_are_those_of_the_class() -> None:
    wanted = {field: Schedule.__annotations__[field] for field in Schedule.__annotations__}
    assert ScheduleSettings.model_fields.keys() == wanted.keys()


def test_defaults_that_are_computed_stay_with_the_factory(tmp_path: Path) -> None:
    source = (
        "Size = int | None\ndef mine(*, a: Size = None, b: float = 1 / 3, c: object = 2): ...\n"
    )
    (tmp_path / "mine.py").write_text(source)
    found = signature_of(tmp_path / "mine.py", "mine")
    assert found.defaults == {"a": None, "c": 2}
    given = found.model.model_validate_json('{"a": 3, "b": 1}', strict=True)
    assert (given.model_dump()["a"], given.model_dump()["b"]) == (3, 1.0)


def test_an_algorithm_made_in_python_is_written_down_but_not_run_from_the_file(
    tmp_path: Path,
) -> None:
    config = parse({"task": "gsm8k", "algorithm": {"name": "mine", "record": "Algorithm(...)"}})
    file = tmp_path / "config.yaml"
    file.write_text(dump(config))
    assert parse(read(file.read_text(), source="")) == config
    with pytest.raises(ConfigurationError, match="`mine` was made in Python"):
        load(file)


def test_lora_is_off_unless_it_has_a_rank() -> None:
    assert load("quickstart").lora.rank is None
    given = load("quickstart", {"lora.rank": "8", "lora.target_modules": "[q_proj, v_proj]"})
    assert given.engine_settings().lora.target_modules == ("q_proj", "v_proj")
    assert parse(read(dump(given), source="dumped")) == given
    with pytest.raises(ConfigurationError, match=r"`lora\.rank` is null.*Set lora\.rank"):
        load("quickstart", {"lora.alpha": "16"})
    with pytest.raises(ConfigurationError, match=r"`lora\.dropout` is no setting"):
        load("quickstart", {"lora.rank": "8", "lora.dropout": "0.1"})


def test_engine_settings_are_the_groups_of_the_recipe() -> None:
    config = parse({**SMALLEST, "rollout": {"prompts": 3}, "seed": 7})
    settings = config.engine_settings()
    assert isinstance(settings, EngineSettings)
    assert (settings.rollout.prompts, settings.seed) == (3, 7)
    assert EngineSettings.model_fields.keys() <= RunConfig.model_fields.keys()


def a_task(kind: str) -> Task:
    example = Example(prompt="1 + 1", answer="2")
    return Task(
        name="t", train=[example], validation=[], test=[], verifier=VerifierSpec(kind, {"x": 1})
    )


def test_rewards_stand_beside_the_verifier_and_are_learned_from() -> None:
    rewards = [{"function": "a.py:short", "weight": 0.5}]
    config = parse({**SMALLEST, "rewards": rewards})
    assert config.scoring.partial_credit
    verifier = config.verifier(a_task("exact"))
    assert verifier.kind == "weighted"
    assert [part["name"] for part in verifier.options["parts"]] == ["task", "short"]
    assert [part["weight"] for part in verifier.options["parts"]] == [1.0, 0.5]
    assert len(config.verifier(a_task("none")).options["parts"]) == 1
    assert parse(SMALLEST).verifier(a_task("exact")) == VerifierSpec("exact", {"x": 1})


# ------------------------------------------------------------------ overrides


def test_set_reads_yaml_and_flags_win_over_the_recipe() -> None:
    changes = {"rollout.prompts": "3", "reference": "null", "optimiser.learning_rate": "1e-4"}
    config = load("quickstart", changes, seed=5, model=None)
    assert (config.rollout.prompts, config.reference, config.seed) == (3, None, 5)
    assert config.optimiser.learning_rate == 1e-4
    assert config.model == "tiny"
    assert config.rollout.responses == load("quickstart").rollout.responses


def test_another_algorithm_or_program_does_not_keep_the_old_ones_settings() -> None:
    config = load("dapo", {"program": "ratchet", "program.stages": "2"}, algorithm="grpo")
    assert config.algorithm == AlgorithmConfig.model_validate("grpo")
    assert config.program == ProgramConfig.model_validate({"name": "ratchet", "stages": 2})


def test_the_same_algorithm_by_flag_keeps_its_settings() -> None:
    config = load("grpo", {"algorithm.eps": "1e-4"}, algorithm="grpo")
    assert (config.algorithm.settings["kl_coef"], config.algorithm.settings["eps"]) == (0.04, 1e-4)


@pytest.mark.parametrize(
    ("overrides", "flags", "words"),
    [
        ({"rollout.promts": "3"}, {}, "Did you mean `rollout.prompts`?"),
        ({"rollout": "3"}, {}, "`rollout` is 3"),
        ({"seed.x": "3"}, {}, "`seed` is {'x': 3}"),
        ({"rollout.prompts": "many"}, {}, "`rollout.prompts` is 'many'"),
        ({"rollout.prompts": "[1"}, {}, "--set rollout.prompts"),
        ({"seed": "1"}, {"seed": 2}, "by --seed and by --set"),
        ({"algorithm.wmax": "3"}, {"algorithm": "owpo"}, "`algorithm.w_max`"),
        ({"": "3"}, {}, "`` is no setting"),
    ],
)
def test_bad_overrides_are_refused(
    overrides: dict[str, str], flags: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load("quickstart", overrides, **flags)
    assert words in str(caught.value)


# ------------------------------------------------------------------ files


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("task: a\ntask: b\n", "line 2 needs to be plain YAML"),
        ("rollout:\n  prompts: 1\n  prompts: 2\n", "the key `prompts` stands twice"),
        ("task: &a x\nmodel: *a\n", "alias"),
        ("a: &a [*a]\n", "alias"),
        ("task: !!python/object/apply:os.system [true]\n", "line 1"),
        ("task: [1\n", "line 2"),
        ("\ttask: x\n", "plain YAML"),
        ("[" * 5000, "nested too deeply"),
        ("seed: " + "9" * 5000, "plain YAML"),
        ("- a\n", "holds list"),
        ("", "holds nothing"),
        ("just words", "holds str"),
        ("extends: nothing-like-it\n", "There is no recipe 'nothing-like-it'"),
        ("extends: control\n", "one level is enough"),
    ],
)
def test_files_that_are_no_recipes_are_refused(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "r.yaml"
    file.write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        load(file)
    assert words in str(caught.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "latin.yaml").write_bytes(b"task: caf\xe9\n")
    with pytest.raises(ConfigurationError, match=r"latin\.yaml needs to be a readable UTF-8 file"):
        load(tmp_path / "latin.yaml")
    with pytest.raises(ConfigurationError, match="is a directory"):
        load(tmp_path)
    with pytest.raises(ConfigurationError, match="Did you mean quickstart"):
        load("quikstart")


def test_a_recipe_extends_another_that_stands_beside_it(tmp_path: Path) -> None:
    (tmp_path / "below.yaml").write_text("task: gsm8k\nalgorithm: {name: grpo, eps: 1e-4}\n")
    (tmp_path / "above.yaml").write_text("extends: below.yaml\nalgorithm: {kl_coef: 0}\nseed: 3\n")
    config = load(tmp_path / "above.yaml")
    assert (config.task, config.seed) == ("gsm8k", 3)
    settings = config.algorithm.settings
    assert (settings["eps"], settings["kl_coef"]) == (1e-4, 0)


def test_the_control_is_the_quickstart_but_for_its_rewards() -> None:
    control, quickstart = load("control"), load("quickstart")
    assert control.rollout.control == "shuffled_rewards"
    changed = control.rollout.model_copy(update={"control": "none"})
    assert control.model_copy(update={"rollout": changed}) == quickstart


def test_the_tiny_base_is_built_for_what_its_recipes_train() -> None:
    assert load("quickstart").task == tiny.EMBEDDED
    assert load("hard").task == tiny.HARD


def test_scalars_are_read_by_the_rules_of_yaml_1_2() -> None:
    text = "[1e-6, 1E3, .5, no, on, 010, 1:30, 2024-01-01, ~, true, -3, 1_000, 0x10, .inf]"
    wanted = [1e-6, 1e3, 0.5, "no", "on", "010", "1:30", "2024-01-01", None, True, -3, "1_000"]
    assert read(text, source="") == [*wanted, "0x10", float("inf")]


plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs"]))
    | st.sampled_from(["1e-6", "no", "010", "~", "null", "1.5", "<<", "=", "- a", "2024-01-01"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("abc1-", max_size=3), inner)
    ),
    max_leaves=8,
)


@given(plain)
def test_any_plain_data_survives_being_written_and_read(data: Any) -> None:
    assert read(written(data), source="") == data


def test_loading_a_recipe_imports_no_torch() -> None:
    program = (
        "import sys; from jumar.config import dump, load; from jumar import recipes;"
        "[dump(load(name)) for name in recipes.names()];"
        "sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_programs_by_name_are_those_of_the_folder() -> None:
    assert [
        ProgramConfig.model_validate(name).name for name in programs.names()
    ] == programs.names()
