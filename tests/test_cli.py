"""The commands, as a user meets them."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import typer
from tokenizers import Tokenizer
from tokenizers.decoders import Fuse
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Split
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from typer.testing import CliRunner, Result

from jumar import algorithms, programs, recipes
from jumar.cli import app
from jumar.cli.output import NoMarkup, reported
from jumar.cli.training import default_directory, overrides, result
from jumar.config import dump, load
from jumar.errors import DataError


def jumar(*arguments: str) -> Result:
    return CliRunner(env={"COLUMNS": "80"}).invoke(app, arguments)


# ------------------------------------------------------------------ list, show, help


@pytest.mark.parametrize(
    "command",
    [
        "--help",
        "--version",
        "train --help",
        "eval --help",
        "list --help",
        "show --help",
        "check --help",
        "plan --help",
        "list algorithms",
        "list programs",
        "list tasks --json",
        "list recipes",
        "train quikstart",
    ],
)
def test_help_lists_and_refusals_answer_without_torch(command: str) -> None:
    program = (
        "import sys; from jumar.cli import app\n"
        f"try: app({command.split()!r})\n"
        "except SystemExit as end: code = end.code\n"
        "heavy = {'torch', 'transformers', 'matplotlib.pyplot'} & set(sys.modules)\n"
        "assert 'torch' not in heavy and 'transformers' not in heavy, heavy\n"
        "sys.exit(code)"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    assert ran.returncode == (2 if "quikstart" in command else 0), ran.stderr.decode()
    assert ran.stdout or ran.stderr


def test_the_commands_are_these() -> None:
    names = {command.name or command.callback.__name__ for command in app.registered_commands}
    assert names == {
        "train", "eval", "list", "show", "check", "compare", "report", "reproduce", "plan", "bench",
    }  # fmt: skip


def test_list_algorithms_names_each_with_its_idea_and_aliases() -> None:
    lines = jumar("list", "algorithms").stdout.splitlines()
    assert [line.split()[0] for line in lines] == algorithms.names()
    assert any(line.startswith("a_star_po") and "also called a2po" in line for line in lines)
    assert any("the verifier chooses the direction" in line for line in lines)


def test_list_programs_names_each_with_its_idea_and_settings() -> None:
    lines = jumar("list", "programs").stdout.splitlines()
    assert [line.split()[0] for line in lines] == programs.names()
    assert any("the policy that the stage before arrived at" in line for line in lines)
    rows = {row["name"]: row for row in json.loads(jumar("list", "programs", "--json").stdout)}
    assert rows["ratchet"]["title"] == "Ratchet"
    assert rows["a_star_po"]["settings"]["samples"] == "8"
    assert rows.keys() == set(programs.names())


def test_list_as_json_is_json_alone() -> None:
    rows = json.loads(jumar("list", "algorithms", "--json").stdout)
    assert {row["name"] for row in rows} == set(algorithms.names())
    owpo = next(row for row in rows if row["name"] == "owpo")
    assert owpo["settings"]["w_max"] == "2.0"
    assert "2605.22156" in owpo["paper"]
    found = json.loads(jumar("list", "recipes", "--json").stdout)
    assert [row["name"] for row in found] == recipes.names()
    assert all(Path(row["file"]).is_file() for row in found)


def test_list_tasks_names_files_hub_data_and_generated_ones() -> None:
    names = [row["name"] for row in json.loads(jumar("list", "tasks", "--json").stdout)]
    assert {"gsm8k", "math", "gym:chain_sum", "file:PATH.jsonl"} <= set(names)


@pytest.mark.parametrize("name", algorithms.names())
def test_show_prints_card_and_record_of_every_algorithm(name: str) -> None:
    shown = jumar("show", name)
    assert shown.exit_code == 0, shown.output
    card, record = algorithms.card(name), algorithms.get(name)
    assert card.formula in shown.stdout
    assert repr(record.surrogate) in shown.stdout
    assert all(f"{label}: " in shown.stdout for label in card.labels)
    assert all(f"    {column}: " in shown.stdout for column in record.reads)
    assert all(f"    {s} = {d}" in shown.stdout for s, d in card.settings.items())


def test_show_finds_an_algorithm_by_its_short_name() -> None:
    assert jumar("show", "a2po").stdout == jumar("show", "a_star_po").stdout


@pytest.mark.parametrize("name", programs.names())
def test_show_prints_the_card_of_every_program(name: str) -> None:
    shown = jumar("show", name)
    assert shown.exit_code == 0, shown.output
    card = programs.card(name)
    assert f"Program {card.title}: {card.idea}" in shown.stdout
    assert card.text in shown.stdout
    assert all(f"    {s} = {d}" in shown.stdout for s, d in card.settings.items())


def test_show_prints_an_algorithm_and_the_program_that_has_its_name() -> None:
    shown = jumar("show", "a_star_po").stdout
    assert algorithms.card("a_star_po").formula in shown
    assert programs.card("a_star_po").text in shown
    assert "Makes\n    optimal_values: V*" in shown
    assert "Program" not in jumar("show", "owpo").stdout


# ------------------------------------------------------------------ refusals


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["train", "quikstart"], "Did you mean quickstart?"),
        (["train", "[red]quickstart[/red]"], "'[red]quickstart[/red]'"),
        (["train", "quickstart", "--algorithm", "owppo"], "Did you mean owpo"),
        (["train", "quickstart", "--engine", "verl"], "`engine` is 'verl'"),
        (["train", "quickstart", "--seed", "-1"], "`seed` is -1"),
        (["train", "quickstart", "--set", "rollout.promts=3"], "`rollout.prompts`"),
        (["train", "quickstart", "--set", "prompts"], "needs KEY=VALUE"),
        (["train", "quickstart", "--set", "a=1", "--set", "a=2"], "gives a twice"),
        (["train", "quickstart", "--seed", "1", "--set", "seed=2"], "by --seed and by --set"),
        (["train", "quickstart", "--task", "gym:chain_sun"], "Did you mean chain_sum"),
        (["train", "quickstart", "--set", "reference=null"], "`owpo` reads the reference"),
        (["train", "quickstart", "--model", "./none"], "'./none' does not exist"),
        (
            ["train", "quickstart", "--algorithm", "rebel", "--set", "correction.kind=masked"],
            "one loss for a whole group",
        ),
        (["train", "quickstart", "--set", "correction.kind=truncate"], "'truncated' or 'masked'"),
        (["train", "quickstart", "--set", "correction.ratio_max=0.9"], "at least 1"),
        (["train", "quickstart", "--set", "correction.ratio_mx=2"], "`correction.ratio_max`"),
        (["list", "algoritms"], "Did you mean algorithms?"),
        (["show", "owppo"], "Did you mean owpo"),
        (["show", "rachet"], "Did you mean ratchet?"),
        (["check", "--task", "gym:chain_sun"], "Did you mean chain_sum"),
        (["eval", "./none", "--task", "gym:chain_sum"], "'./none' does not exist"),
        (["eval", "tiny", "--task", "gsm8k", "--set", "rollout.rws=1"], "`rollout.rows`"),
    ],
)
def test_bad_input_is_one_message_and_exit_code_2(
    command: list[str], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ran = jumar(*command)
    assert ran.exit_code == 2
    assert ran.stderr.startswith("error: ")
    assert words in ran.stderr
    assert ran.stdout == ""
    assert "Traceback" not in ran.stderr
    assert list(tmp_path.iterdir()) == []  # nothing half-written


def test_a_missing_argument_is_a_usage_error() -> None:
    assert jumar("train").exit_code == 2
    assert jumar("eval", "tiny").exit_code == 2
    assert jumar("eval", "tiny", "--task", "gsm8k", "-k", "0").exit_code == 2


def test_only_the_users_errors_are_turned_into_messages(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as end, reported():
        raise DataError("row [3] is bad")
    assert end.value.exit_code == 2
    assert capsys.readouterr().err == "error: row [3] is bad\n"
    with pytest.raises(ZeroDivisionError), reported():
        raise ZeroDivisionError
    with pytest.raises(typer.Exit) as end, reported():
        raise KeyboardInterrupt
    assert end.value.exit_code == 130


# ------------------------------------------------------------------ train


def test_set_options_are_split_at_the_first_equals_sign() -> None:
    found = overrides(["task=gsm8k?train=a&test=b", "reference="])
    assert found == {"task": "gsm8k?train=a&test=b", "reference": ""}


def test_the_default_run_directory_names_recipe_algorithm_and_seed() -> None:
    config = load("quickstart", algorithm="grpo", seed=3)
    assert default_directory("quickstart", config) == Path("runs/quickstart-grpo-seed3")
    assert default_directory("x/mine.yaml", config) == Path("runs/mine-grpo-seed3")


def test_scores_are_printed_with_intervals_and_changes(capsys: pytest.CaptureFixture[str]) -> None:
    sampled = {"pass@1": [0.5, 0.4, 0.6], "pass@8": [0.9, 0.8, 1.0], "truncated": [0, 0, 0]}
    scores = {
        "sampled": {"prompts": 500, "estimates": sampled},
        "greedy": {"prompts": 500, "estimates": {"pass@1": [0.6, 0.5, 0.7]}},
    }
    change = {
        "sampled": {"pass@1": [0.25, 0.125, 0.375], "pass@8": [0.1, None, None]},
        "greedy": {"pass@1": [-0.5, -1, 0]},
    }
    summary = {"base": scores, "final": scores, "change": change}
    NoMarkup().show(result(summary, Path("runs/[x]")))
    lines = capsys.readouterr().out.splitlines()
    assert any("pass@1" in line and "+0.250 [+0.125, +0.375]" in line for line in lines)
    assert any("greedy" in line and "0.600 [0.500, 0.700]" in line for line in lines)
    assert any("pass@8" in line and "[+nan, +nan]" in line for line in lines)
    assert lines[-1] == "Run directory: runs/[x]"
    nothing = result({"base": {}, "final": {}, "change": {}}, Path("runs/x"))
    assert str(nothing).startswith("Run directory: runs/x\n")


# ------------------------------------------------------------------ whole commands

VOCABULARY = ["<pad>", "</s>", *"0123456789 +=?#.\n<>", *"abcdefghijklmnopqrstuvwxyz:AE"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a random model of single characters, a task and a recipe."""
    folder = tmp_path_factory.mktemp("place")
    raw = Tokenizer(WordLevel({token: i for i, token in enumerate(VOCABULARY)}, unk_token="?"))
    raw.pre_tokenizer, raw.decoder = Split("", "isolated"), Fuse()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=raw, pad_token="<pad>", eos_token="</s>", unk_token="?"
    )
    config = LlamaConfig(
        vocab_size=len(VOCABULARY), hidden_size=16, intermediate_size=16, num_hidden_layers=1,
        num_attention_heads=2, max_position_embeddings=128, pad_token_id=0, eos_token_id=1,
    )  # fmt: skip
    torch.manual_seed(0)
    LlamaForCausalLM(config).save_pretrained(folder / "model")
    tokenizer.save_pretrained(folder / "model")
    (folder / "tasks.py").write_text(
        "def rows():\n"
        "    for i in range(60):\n"
        "        yield {'prompt': f'{i} + 1 =', 'answer': str(i + 1)}\n"
        "def any_digit(response, example):\n"
        "    return any(c.isdigit() for c in response[:2])\n"
        "def stopped():\n"
        "    raise KeyboardInterrupt\n"
    )
    (folder / "small.yaml").write_text(
        "# small\nmodel: model\ntask: tasks.py:rows?verifier=tasks.py:any_digit\n"
        "algorithm: {name: grpo, kl_coef: 0}\nprogram: {name: plain, steps: 2}\n"
        "rollout: {prompts: 2, responses: 4, max_response_tokens: 4, max_prompt_tokens: 32}\n"
        "evaluation: {every: 1, prompts: 2, final_prompts: 3, final_samples: 2}\n"
        "loading: {threads: 1}\nscoring: {workers: 1}\n"
    )
    return folder


def test_train_prints_scores_and_the_run_directory_and_can_be_run_again(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)
    ran = jumar("train", "small.yaml", "--set", "rollout.prompts=3", "--seed", "2")
    assert ran.exit_code == 0, ran.output
    directory = Path("runs/small-grpo-seed2")
    assert f"Run directory: {directory}" in ran.stdout
    assert "pass@1" in ran.stdout
    assert "greedy" in ran.stdout
    config = load(directory / "config.yaml")
    assert (config.rollout.prompts, config.seed) == (3, 2)
    summary = json.loads((directory / "summary.json").read_text())
    assert summary["steps"] == 2

    refused = jumar("train", "small.yaml", "--seed", "2")
    assert refused.exit_code == 2
    assert "not empty" in refused.stderr
    assert "--resume" in refused.stderr
    other = jumar("train", "small.yaml", "--seed", "2", "--resume")
    assert other.exit_code == 2
    assert "another configuration" in other.stderr
    again = jumar("train", f"{directory}/config.yaml", "--out", str(directory), "--resume")
    assert again.exit_code == 0, again.output


@pytest.mark.parametrize("minibatches", [1, 2])
def test_train_corrects_for_the_sampler_and_says_how_much(
    minibatches: int, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sampler and trainer of the local engine agree but for rounding."""
    monkeypatch.chdir(place)
    out = f"corrected-{minibatches}"
    asked = ("correction.kind=masked", "correction.ratio_min=0.5")
    options = [word for setting in asked for word in ("--set", setting)]
    ran = jumar(
        "train", "small.yaml", *options, "--set", f"optimiser.minibatches={minibatches}",
        "--out", out,
    )  # fmt: skip
    assert ran.exit_code == 0, ran.output
    for row in lines(f"{out}/metrics.jsonl"):
        if "correction" in row:
            assert row["correction"] == pytest.approx(1, abs=1e-5)
            assert row["correction/outside"] == 0
    assert any("correction" in row for row in lines(f"{out}/metrics.jsonl"))
    page = (place / out / "report.html").read_text()
    assert "masked_correction(level=&#39;token&#39;, ratio_max=2.0, ratio_min=0.5)" in page


def lines(file: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(file).read_text().splitlines()]


def test_eval_scores_several_tasks_and_keeps_every_response(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)
    tasks = ("tasks.py:rows?verifier=tasks.py:any_digit", "tasks.py:rows?verifier=exact")
    named = [part for task in tasks for part in ("--task", task)]
    limits = ("--set", "rollout.max_response_tokens=4", "--set", "rollout.max_prompt_tokens=99")
    scored = jumar("eval", "model", *named, "-k", "3", "--greedy", "--json", *limits)
    assert scored.exit_code == 0, scored.output
    found = json.loads(scored.stdout)
    directory = Path("runs/eval-model-tasks.py-rows-and-1-more")
    assert found["directory"] == str(directory)
    assert json.loads((directory / "scores.json").read_text()) == found
    assert len(found["tasks"]) == 2
    digests = set()
    for kinds in found["tasks"].values():
        sampled, greedy = kinds["sampled"], kinds["greedy"]
        assert set(sampled["estimates"]) == {
            "pass@1", "pass@2", "pass@3", "avg@3", "maj@3", "truncated", "response_tokens",
        }  # fmt: skip
        assert (greedy["samples"], greedy["temperature"]) == (1, 0.0)
        for kind in (sampled, greedy):
            head, *rows = lines(kind["responses"])
            assert head["protocol"] == kind["protocol"]
            assert len(rows) == kind["prompts"] * kind["samples"] == sum(kind["statuses"].values())
            digests.add(kind["protocol"]["digest"])
    assert len(digests) == 4

    table = jumar("eval", "model", "--task", tasks[0], "-k", "3", "--greedy", *limits)
    assert table.exit_code == 0, table.output
    text = " ".join(table.stdout.split())
    first = next(iter(found["tasks"].values()))
    assert "pass@1" in text
    assert "greedy 0." in text
    assert f"sampled: protocol {first['sampled']['protocol']['digest']}, responses in runs/" in text
    assert Path("runs/eval-model-tasks.py-rows/tasks.py-rows-greedy.jsonl").is_file()
    again = jumar("eval", "model", "--task", tasks[0], "-k", "1", *limits)
    assert "runs/eval-model-tasks.py-rows-2/tasks.py-rows-sampled.jsonl" in again.stdout


def test_eval_refuses_before_it_samples(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    task = ("--task", "tasks.py:rows?verifier=exact")
    (place / "taken").mkdir()
    (place / "taken" / "scores.json").write_text("{}")
    short = ("--set", "rollout.max_response_tokens=4", "--set", "rollout.max_prompt_tokens=99")
    for more, reason in (
        (("--out", "taken"), "The directory taken is not empty"),
        (("--out", "/proc/jumar", *short), "cannot be written"),
        ((), "reads 128 tokens"),
        (("--set", "judge.url=http://localhost/v1"), "no `judge.model`"),
        (("--set", "judge.url=localhost", "--set", "judge.model=m"), "`judge.url` needs to be"),
        (("--set", "judge.url=http://me:secret@host", "--set", "judge.model=m"), "`judge.url`"),
        (
            ("--set", "judge.url=http://host", "--set", "judge.model=m",
             "--set", "judge.key_variable=NO_SUCH_KEY"),
            "`judge.key_variable`",
        ),
    ):  # fmt: skip
        ran = jumar("eval", "model", *task, *more)
        assert ran.exit_code == 2, ran.output
        assert reason in " ".join(ran.stderr.split())
        assert "secret" not in ran.stderr
    assert not Path("runs/eval-model-tasks.py-rows-3").exists()


def test_resume_without_a_run_and_unwritable_directories_are_refused(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)
    ran = jumar("train", "small.yaml", "--resume", "--out", "nothing")
    assert ran.exit_code == 2
    assert "no run to resume in nothing" in ran.stderr
    assert not Path("nothing").exists()
    (place / "file").write_text("not a directory")
    for out in ("file", "file/inside", "/proc/jumar"):
        ran = jumar("train", "small.yaml", "--out", out)
        assert ran.exit_code == 2
        assert "cannot be written" in ran.stderr
    assert (place / "file").read_text() == "not a directory"


def test_an_interrupted_run_says_how_to_go_on(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    directory = place / "half done"
    directory.mkdir()
    (directory / "config.yaml").write_text(dump(load("small.yaml", {"task": "tasks.py:stopped"})))
    out = str(directory)
    ran = jumar("train", f"{out}/config.yaml", "--out", out, "--resume")
    assert ran.exit_code == 130
    command = f"jumar train '{out}/config.yaml' --out '{out}' --resume"
    assert command in ran.stderr


def test_check_passes_a_sound_verifier_and_fails_a_lax_one(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)
    sound = jumar("check", "--task", "tasks.py:rows", "--split", "train", "--limit", "20")
    assert sound.exit_code == 0, sound.output
    assert "gold answers       accepted 20 of 20" in sound.stdout
    assert "The verifier is sound here." in sound.stdout
    lax = jumar("check", "--task", "tasks.py:rows?verifier=tasks.py:any_digit")
    assert lax.exit_code == 1
    assert "wrongly accepted: gold" in lax.stdout
    assert "not sound" in lax.stdout
