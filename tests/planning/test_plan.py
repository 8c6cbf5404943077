"""`jumar plan`, as a user meets it; and the page that shows it."""

import json
import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from jumar import recipes
from jumar.cli import app
from jumar.config import dump, load, parse
from jumar.planning.hardware import GPUS
from jumar.planning.plan import plan, total
from jumar.reproduce.a_star_po.scales import SCALES

PAGE = Path(__file__).parents[2] / "docs" / "planning.md"


def jumar(*arguments: str) -> Result:
    return CliRunner(env={"COLUMNS": "120"}).invoke(app, arguments)


@pytest.mark.parametrize("name", recipes.names())
def test_every_bundled_recipe_has_a_plan(name: str) -> None:
    shown = jumar("plan", name)
    assert shown.exit_code == 0, shown.output
    for title in ("in an update", "while sampling", "Time of a step", "Time of the run", "Disk"):
        assert title in shown.stdout
    for setting in ("plan.mfu=0.35", "plan.bandwidth_share=0.6", "plan.overhead=30"):
        assert setting in " ".join(shown.stdout.split())


def test_json_has_every_number_with_its_formula() -> None:
    dealt = ("--set", "distributed.sharding=full", "--set", "plan.ranks=16")
    found = json.loads(jumar("plan", "owpo", *dealt, "--json").stdout)
    assert found["recipe"] == "owpo"
    assert found["parameters"] == 7_615_616_512
    assert found["assumptions"]["ranks"] == 16
    assert found["assumptions"]["flops"] == 989e12
    parts = [*found["bytes"].values(), *found["seconds"].values()]
    assert {*found["bytes"], *found["seconds"]} == {
        "update", "sampling", "network", "disk", "step", "run",
    }  # fmt: skip
    for line in (line for lines in parts for line in lines):
        assert set(line) == {"name", "value", "formula"}
        assert line["formula"]
    assert found["fits"] is True


def test_it_says_what_does_not_fit_and_what_would_help() -> None:
    shown = jumar("plan", "owpo", "--set", "plan.gpu=a100")
    assert shown.exit_code == 0
    assert "It does not fit." in shown.stdout
    assert "distributed.sharding=full" in shown.stdout
    found = json.loads(jumar("plan", "owpo", "--json").stdout)
    assert found["fits"] is False


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["owppo"], "Did you mean owpo?"),
        (["owpo", "--set", "plan.gpu=h10"], "Did you mean h100"),
        (["owpo", "--set", "plan.gpus=8"], "`plan.gpus` is no setting"),
        (["owpo", "--set", "plan.mfu=40"], "`plan.mfu` is 40"),
        (["owpo", "--set", "plan.ranks=0"], "at least 1"),
        (["owpo", "--model", "Qwen/Qwen2.5-8B"], "Did you mean"),
        (["dapo", "--algorithm", "opd"], "reads the teacher"),
    ],
)
def test_bad_input_is_one_message_and_exit_code_2(options: list[str], words: str) -> None:
    ran = jumar("plan", *options)
    assert ran.exit_code == 2
    assert ran.stderr.startswith("error: ")
    assert words in ran.stderr
    assert ran.stdout == ""


def test_own_figures_take_the_place_of_published_ones() -> None:
    mine = json.loads(
        jumar("plan", "owpo", "--set", "plan.memory=48e9", "--set", "plan.flops=1e14",
              "--json").stdout
    )  # fmt: skip
    assert mine["gpu"] == "H100 SXM with your memory, flops"
    assert mine["room_bytes"] == pytest.approx(0.9 * 48e9)
    assert mine["assumptions"]["bandwidth"] == GPUS["h100"].bandwidth


def test_a_run_does_not_write_down_what_only_a_plan_reads() -> None:
    config = load("owpo", {"plan.ranks": "64"})
    assert config.plan.ranks == 64
    assert "plan:" not in dump(config)


def test_a_program_is_counted_verb_by_verb() -> None:
    erpd = {line.name: line.formula for line in plan(load("erpd")).run}
    assert erpd["sample"] == "3 x 16,000 responses"
    assert erpd["log_ratio"] == "3 x 2 passes over 16,000 responses"
    fits = [line.formula for line in plan(load("erpd")).run if line.name == "fit"]
    assert fits == ["3 x 100 updates of 512 responses", "3 x 10 updates of 512 responses"]
    unknown = {line.name: line for line in plan(load("a_star_po")).run}
    assert unknown["reference_rewards"].formula == "not counted: set plan.train_prompts"
    counted = plan(load("a_star_po", {"plan.train_prompts": "7473"})).run[0]
    assert counted.formula == "59,784 responses"
    assert counted.value > 0


def test_stored_rows_need_no_sampler() -> None:
    stored = plan(
        parse({
            "model": "Qwen2.5-0.5B", "task": "file:x.jsonl", "algorithm": "sft",
            "rollout": {"source": "dataset"},
        })
    )  # fmt: skip
    assert stored.sampling is None
    assert {line.name for line in stored.step} == {
        "update", "gradients between ranks", "everything else",
    }  # fmt: skip
    assert stored.fits


# ------------------------------------------------------------------ docs/planning.md


def test_the_page_shows_what_the_commands_print() -> None:
    blocks = re.findall(r"```console\n\$ (.*?)\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)
    assert len(blocks) == 2
    for command, shown in blocks:
        program, *arguments = shlex.split(command)
        assert program == "jumar"
        printed = jumar(*arguments).stdout
        assert [line.rstrip() for line in printed.splitlines()] == shown.splitlines()


def test_the_page_has_every_gpu_and_every_setting() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for name, gpu in GPUS.items():
        row = (
            f"| `{name}` | {gpu.name} | {gpu.memory / 1e9:g} | {gpu.flops / 1e12:g} | "
            f"{gpu.bandwidth / 1e9:g} | {gpu.link / 1e9:g} | {gpu.network / 1e9:g} |"
        )
        assert row in text
        assert gpu.source.partition(";")[0] in text
    for setting in load("owpo").plan.model_dump():
        assert f"`{setting}`" in text


PUBLISHED = {  # hours of PPO, GRPO, REBEL and A*-PO on MATH: arXiv:2505.20686, table 1
    "Qwen2.5-1.5B": (10.84, 15.01, 10.33, 6.92),
    "Qwen2.5-3B": (13.59, 18.26, 12.88, 8.78),
    "Qwen2.5-7B": (20.53, 20.15, 14.67, 11.01),
}
METHODS = ("ppo", "grpo", "rebel", "a_star_po")


def hours(model: str, method: str) -> str:
    recipe = dict(SCALES["paper"].recipes[method])
    tokens = 1280 * recipe["rollout"]["responses"]  # a micro-batch of one prompt, as in the paper
    found = plan(
        parse({
            **recipe, "model": model,
            "optimiser": {**recipe["optimiser"], "micro_batch_tokens": tokens},
            "engine": "vllm",
            "distributed": {"sharding": "full"},
            "plan": {"ranks": 4, "train_prompts": 7500},
        })
    )  # fmt: skip
    training = [line for line in found.run if line.name in ("train", "reference_rewards")]
    return f"{total(training) / 3600:.1f}" if found.fits else "no room"


def test_the_page_compares_with_published_runs() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for model, published in PUBLISHED.items():
        cells = [
            f"{hours(model, method)} ({real:.1f})"
            for method, real in zip(METHODS, published, strict=True)
        ]
        assert f"| {model} | {' | '.join(cells)} |" in text
